import type { WriteResponse } from '#jobs';
import type { BatchResult, BatchWrite } from './batch-write.js';
import { batchDto, batchEtag } from './batch-wire.js';

const WOULD = { created: 'create', unchanged: 'nothing', replaced: 'replace', extended: 'extend' } as const;

/** The response to a write of a batch. A producer must not learn how many objects of others a batch has. */
export function batchResponse(write: BatchWrite, result: BatchResult): WriteResponse {
  const { baseUrl, role, isDryRun } = write;
  const { kind, batch, stored, rejected } = result;
  const { object_count, ...dto } = batchDto(baseUrl, batch);
  const count = role === 'producer' && result.hasOtherObjects ? {} : { object_count };
  const status = rejected.objects > 0 ? 207 : kind === 'created' ? 201 : 200;
  const errors = rejected.objects > 0 ? { errors: rejected.listed, error_count: rejected.count } : {};
  if (isDryRun) {
    const outcome = { dry_run: true, would: WOULD[kind], would_answer: status, batch_id: dto.batch_id, ...count };
    const text = JSON.stringify({ ...outcome, stored, rejected: rejected.objects, ...errors });
    return { status: 200, text, items: stored };
  }
  const headers = kind === 'created' ? createdHeaders(write, dto.url, batch.revision) : {};
  if (status === 207) {
    const part = { batch_id: dto.batch_id, stored, rejected: rejected.objects, ...errors };
    return { status, text: JSON.stringify(part), headers, items: stored };
  }
  const { batch_id, ...urls } = dto;
  return { status, text: JSON.stringify({ batch_id, ...count, ...urls }), headers, items: stored };
}

/** RFC 9110, section 9.3.4, allows no ETag in a response to PUT where what is stored is not byte for byte what was sent. */
function createdHeaders({ ifExists }: BatchWrite, url: string, revision: string): Record<string, string> {
  return ifExists === 'refuse' ? { Location: url, ETag: batchEtag(revision) } : { Location: url };
}

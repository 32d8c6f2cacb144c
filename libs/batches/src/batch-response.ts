import type { WriteResponse } from '#jobs';
import type { BatchRow } from '#store';
import type { UsageChange } from '#usage';
import type { BatchWrite, RejectedObjects } from './batch-input.js';
import { batchDto, batchEtag } from './batch-wire.js';
import type { SeqRange } from './batch-write.store.js';

/** The result of a write, before its transaction is committed. */
export interface BatchResult {
  kind: 'created' | 'unchanged' | 'replaced' | 'extended';
  batch: BatchRow;
  /** Number of objects of the request that the batch has now, without those that were skipped. */
  stored: number;
  /** Number of objects of the request whose ids existed, and which were left out because of `skip`. */
  skipped: number;
  rejected: RejectedObjects;
  /** What the write adds to the usage of the project. */
  change: UsageChange;
  /** The sequence numbers of the objects that the write adds. */
  addedSeqs: SeqRange;
  /** Whether the batch may have objects that the request did not contain. */
  hasOtherObjects: boolean;
  /** Number of objects that a replaced batch had. */
  oldObjectCount?: number;
}

const DRY_RUN_OUTCOMES = { created: 'create', unchanged: 'none', replaced: 'replace', extended: 'extend' } as const;

/** The response to a write of a batch. A producer must not learn how many objects of others a batch has. */
export function batchResponse(write: BatchWrite, result: BatchResult): WriteResponse {
  const { baseUrl, role, isDryRun } = write;
  const { kind, batch, stored, skipped, rejected } = result;
  const { object_count, ...dto } = batchDto(baseUrl, batch);
  const count = role === 'producer' && result.hasOtherObjects ? {} : { object_count };
  const status = rejected.objects > 0 ? 207 : kind === 'created' ? 201 : 200;
  const chargedItems = stored + skipped + rejected.objects;
  // The number of objects of the batch does not show how many of those of the request were stored.
  const own = write.ifExists === 'skip' ? { stored, skipped } : {};
  const errors = rejected.objects > 0 ? { errors: rejected.listed, error_count: rejected.count } : {};
  if (isDryRun) {
    const report = { dry_run: true, outcome: DRY_RUN_OUTCOMES[kind], status, batch_id: dto.batch_id, ...count };
    const text = JSON.stringify({ ...report, stored, ...own, rejected: rejected.objects, ...errors });
    return { status: 200, text, items: stored, chargedItems };
  }
  const headers = kind === 'created' ? createdHeaders(write, dto.url, batch.revision) : {};
  if (status === 207) {
    const part = { batch_id: dto.batch_id, stored, ...own, rejected: rejected.objects, ...errors };
    return { status, text: JSON.stringify(part), headers, items: stored, chargedItems };
  }
  const { batch_id, ...urls } = dto;
  return {
    status,
    text: JSON.stringify({ batch_id, ...count, ...own, ...urls }),
    headers,
    items: stored,
    chargedItems,
  };
}

/** RFC 9110, section 9.3.4, allows no ETag in a response to PUT where the stored data differs from the body by a byte. */
function createdHeaders({ ifExists }: BatchWrite, url: string, revision: string): Record<string, string> {
  return ifExists === 'reject' ? { Location: url, ETag: batchEtag(revision) } : { Location: url };
}

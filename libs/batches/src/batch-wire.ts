import { timeOfSeq } from '#database';
import type { BatchDto } from './batch.dto.js';
import type { NestedRow } from './batch-read.store.js';
import { viewedText, WHOLE_VIEW, type ObjectView } from '#objects';
import type { BatchRow } from '#store';

export function batchDto(base: string, row: Pick<BatchRow, 'batch_id' | 'object_count' | 'seq'>): BatchDto {
  const { batch_id, object_count, seq } = row;
  return {
    batch_id,
    object_count: Number(object_count),
    created_at: timeOfSeq(seq),
    url: `${base}/batches/${encodeURIComponent(batch_id)}`,
    objects_url: `${base}/objects?batch_id=${encodeURIComponent(batch_id)}`,
  };
}

/** A representation of a whole batch, in which the texts of its objects stand between a head and an end. */
export interface BatchFormat {
  mediaType: 'application/json' | 'application/x-ndjson';
  head: (batchId: string) => string;
  join: (objects: readonly string[]) => string;
  /** Between the objects of two chunks. */
  separator: string;
  end: string;
}

export const JSON_BATCH: BatchFormat = {
  mediaType: 'application/json',
  head: (batchId) => `{"batch_id":${JSON.stringify(batchId)},"objects":[`,
  join: (objects) => objects.join(),
  separator: ',',
  end: ']}',
};

/** The lines that PUT accepts. */
export const NDJSON_BATCH: BatchFormat = {
  mediaType: 'application/x-ndjson',
  head: () => '',
  join: (objects) => objects.map((object) => `${object}\n`).join(''),
  separator: '',
  end: '',
};

/** An object inside its batch as it was sent: omitted members stay omitted. */
export function nestedObjectText(row: NestedRow, view: ObjectView): string {
  if (view !== WHOLE_VIEW) {
    const members: [string, string][] = [
      ['object_id', JSON.stringify(row.object_id)],
      ['data', row.data],
    ];
    if (row.subject !== null) members.push(['subject', JSON.stringify(row.subject)]);
    if (!row.has_default_time) members.push(['observed_at', `"${row.observed_at}"`]);
    return viewedText(members, view);
  }
  const subject = row.subject === null ? '' : `,"subject":${JSON.stringify(row.subject)}`;
  const observedAt = row.has_default_time ? '' : `,"observed_at":"${row.observed_at}"`;
  return `{"object_id":${JSON.stringify(row.object_id)},"data":${row.data}${subject}${observedAt}}`;
}

/** The strong ETag of a batch; it changes with every change to the batch or to one of its objects. */
export function batchEtag(revision: string): string {
  return `"${BigInt(revision).toString(36)}"`;
}

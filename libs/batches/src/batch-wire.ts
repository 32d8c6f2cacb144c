import { encodeIdForUrl } from '#http';
import { timeOfSeq } from '#database';
import type { BatchDto } from './batch.dto.js';
import type { BatchRow } from '#store';

export function batchDto(base: string, row: Pick<BatchRow, 'batch_id' | 'object_count' | 'seq'>): BatchDto {
  const { batch_id, object_count, seq } = row;
  return {
    batch_id,
    object_count: Number(object_count),
    created_at: timeOfSeq(seq),
    url: `${base}/batches/${encodeIdForUrl(batch_id)}`,
    objects_url: `${base}/objects?batch_id=${encodeURIComponent(batch_id)}`,
  };
}

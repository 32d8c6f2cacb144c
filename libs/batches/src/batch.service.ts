import { Problem } from '#http';
import { Injectable } from '@nestjs/common';
import { batchNotFound } from './batch-reader.js';
import { BatchStore } from './batch.store.js';
import type { BatchRow } from '#store';

@Injectable()
export class BatchService {
  constructor(private readonly batches: BatchStore) {}

  /** @throws Problem not-found */
  async get(projectId: number, batchId: string): Promise<BatchRow> {
    const row = await this.batches.find(projectId, batchId);
    if (row === null) throw batchNotFound();
    return row;
  }

  /** @throws Problem not-found; batch-not-empty unless cascade */
  async delete(projectId: number, batchId: string, cascade: boolean): Promise<void> {
    if ((await this.batches.delete(projectId, batchId, cascade)) !== null) return;
    // There was none; one that has come meanwhile is another.
    if (cascade) throw batchNotFound();
    const { object_count } = await this.get(projectId, batchId);
    throw new Problem('batch-not-empty', {
      detail: `The batch still has objects (${object_count}); ?cascade=true deletes them with it.`,
      extra: { object_count: Number(object_count) },
    });
  }
}

import { Problem } from '#http';
import { Sequence, type Queryable } from '#database';
import type { ObjectRow } from '#store';
import { Injectable } from '@nestjs/common';
import { ObjectStore } from './object.store.js';

/** Reads one object, and locks one for a change. */
@Injectable()
export class ObjectService {
  constructor(
    private readonly objects: ObjectStore,
    private readonly sequence: Sequence,
  ) {}

  /** @throws Problem not-found */
  async get(projectId: number, objectId: string, on?: Queryable): Promise<ObjectRow> {
    const row = await this.objects.find(projectId, objectId, on);
    return row ?? rejectNotFound();
  }

  /**
   * Locks the batch of an object until the transaction ends, gives the batch a new revision, and returns the object.
   * @throws Problem not-found
   */
  async lockForUpdate(tx: Queryable, projectId: number, objectId: string): Promise<ObjectRow> {
    return (await this.findForUpdate(tx, projectId, objectId)) ?? rejectNotFound();
  }

  /** The same; null where the object does not exist. */
  findForUpdate(tx: Queryable, projectId: number, objectId: string): Promise<ObjectRow | null> {
    return this.lock(tx, projectId, objectId, 0);
  }

  /** The same as `lockForUpdate`, and subtracts the object from the count of its batch. @throws Problem not-found */
  async lockForDelete(tx: Queryable, projectId: number, objectId: string): Promise<ObjectRow> {
    return (await this.lock(tx, projectId, objectId, 1)) ?? rejectNotFound();
  }

  private async lock(tx: Queryable, projectId: number, objectId: string, removed: 0 | 1): Promise<ObjectRow | null> {
    const batchId = await this.objects.lockBatchOf(tx, projectId, objectId, this.sequence.next(), removed);
    const row = batchId === null ? null : await this.objects.find(projectId, objectId, tx);
    // While this transaction waited for the lock, the object may have been deleted and posted into another batch, which is not
    // locked. An error rolls the count of the batch back.
    return row === null || row.batch_id !== batchId ? null : row;
  }
}

function rejectNotFound(): never {
  throw new Problem('not-found', { detail: 'Object not found.' });
}

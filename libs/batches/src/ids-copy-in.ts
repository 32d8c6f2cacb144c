import type { CopyIn, Sequence, Transaction } from '#database';
import { sizeOf } from '#store';
import { exceeds, type QuotaStore, type UsageChange } from '#usage';
import type { BatchObject } from './batch-object.js';
import type { BatchWriteStore } from './batch-write.store.js';
import { stagedRows } from './copy-rows.js';

/**
 * The counterpart of `ObjectsCopyIn` for a dry run: stages the ids of the objects, which is enough to find conflicts, and compares their
 * size with what the project has room for. It takes about half of the time of storing them.
 */
export class IdsCopyIn {
  /** The objects so far. */
  readonly copied: UsageChange = { objects: 0, bytes: 0 };
  readonly hasConflict = false;
  readonly failure = undefined;
  private copy: CopyIn | undefined;

  constructor(
    private readonly store: BatchWriteStore,
    private readonly sequence: Sequence,
    private readonly tx: Transaction,
    private readonly projectId: number,
    private readonly quotas: QuotaStore,
    private room: UsageChange,
  ) {}

  /** @throws Problem quota-exceeded */
  async write(objects: readonly BatchObject[]): Promise<void> {
    if (objects.length === 0) return;
    const { objects: count, bytes } = sizeOf(objects);
    this.copied.objects += count;
    this.copied.bytes += bytes;
    if (exceeds(this.copied, this.room)) {
      // A query has to wait for the end of the COPY.
      await this.end();
      this.copy = undefined;
      this.room = await this.quotas.requireRoom(this.tx, this.projectId, this.copied);
    }
    if (this.copy === undefined) {
      await this.store.createStage(this.tx);
      this.copy = this.store.copyStaged(this.tx);
    }
    const ids = objects.map((object) => ({ ...object, subject: null, observedAt: null, data: '' }));
    await this.copy.write(stagedRows(this.sequence.next(count), ids).rows);
  }

  async end(): Promise<void> {
    await this.copy?.end();
  }
}

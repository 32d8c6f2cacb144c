import { isUniqueViolation, type CopyIn, type Sequence, type Transaction } from '#database';
import type { CheckedObject, Chunks } from './batch-source.js';
import { objectRows, SEPARATOR, stagedRows } from './batch-rows.js';
import type { BatchWriteStore } from './batch-write.store.js';

/** Objects that are copied under one savepoint; the writer waits once a segment for the database to catch up. */
const SEGMENT_OBJECTS = 20_000;

/** What is enough of a chunk to find out which of its ids are taken, as small as it can be kept. */
interface Claims {
  places: number[];
  ids: string;
}

/**
 * Takes the objects of a new batch into the table. An id that is taken ends that: nothing will be stored then, and the ids of
 * its segment and of all that comes after are staged, so that every one that is taken can be named.
 */
export class BatchPour {
  /** Objects in the table. */
  stored = 0;
  /** An id was taken. */
  isBlocked = false;
  private copy: CopyIn | undefined;
  /** Of the segment that is being copied; no more than this is kept, so that a stream of any length fits into memory. */
  private segment: Claims[] = [];
  private segmentObjects = 0;

  constructor(
    private readonly store: BatchWriteStore,
    private readonly sequence: Sequence,
    private readonly tx: Transaction,
    private readonly target: { projectId: number; batchId: string },
  ) {}

  /** What breaks off leaves a transaction that can only be rolled back. */
  async takeAll(chunks: Chunks): Promise<void> {
    try {
      for await (const chunk of chunks) await this.take(chunk);
      if (!this.isBlocked) await this.endSegment();
      if (this.isBlocked) await this.copy?.end();
    } catch (error) {
      this.copy?.giveUp();
      throw error;
    }
  }

  private async take(chunk: CheckedObject[]): Promise<void> {
    const claims = {
      places: chunk.map(({ place }) => place),
      ids: chunk.map(({ objectId }) => objectId).join(SEPARATOR),
    };
    if (this.isBlocked) {
      await this.stage(claims);
      return;
    }
    if (this.copy === undefined) {
      await this.tx.query('SAVEPOINT segment');
      this.copy = this.store.copyObjects(this.tx);
    }
    const { projectId, batchId } = this.target;
    const rows = objectRows(projectId, batchId, this.sequence.next(chunk.length), chunk);
    this.segment.push(claims);
    this.segmentObjects += chunk.length;
    const isCopied = await this.orBlocked(this.copy.write(rows));
    if (isCopied && this.segmentObjects >= SEGMENT_OBJECTS) await this.endSegment();
  }

  private async endSegment(): Promise<void> {
    if (this.copy === undefined) return;
    if (!(await this.orBlocked(this.copy.end()))) return;
    await this.tx.query('RELEASE SAVEPOINT segment');
    this.stored += this.segmentObjects;
    this.copy = undefined;
    this.segment = [];
    this.segmentObjects = 0;
  }

  /** False when an id was taken. */
  private async orBlocked(copying: Promise<void>): Promise<boolean> {
    try {
      await copying;
      return true;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      await this.tx.query('ROLLBACK TO SAVEPOINT segment');
      this.isBlocked = true;
      this.copy = undefined;
      await this.store.stage(this.tx);
      for (const claims of this.segment.splice(0)) await this.stage(claims);
      return false;
    }
  }

  private async stage({ places, ids }: Claims): Promise<void> {
    this.copy ??= this.store.copyStaged(this.tx);
    const objects = ids.split(SEPARATOR).map((objectId, index) => {
      return { place: places[index] ?? 0, objectId, subject: null, observedAt: null, data: '' };
    });
    await this.copy.write(stagedRows(this.sequence.next(objects.length), objects));
  }
}

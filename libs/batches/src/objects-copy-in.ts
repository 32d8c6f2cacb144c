import { mayBeUniqueViolation, SEQ_STEP, type CopyIn, type Sequence, type Transaction } from '#database';
import { SegmentBuilder, type SegmentStore } from '#inverted-index';
import { exceeds, NO_CHANGE, type QuotaStore, type UsageChange } from '#usage';
import type { BatchObject } from './batch-object.js';
import { COPY_DELIMITER, objectRows, stagedRows } from './copy-rows.js';
import type { BatchWriteStore, SeqRange } from './batch-write.store.js';

/** Objects copied under one savepoint. After each part the writer waits for the database to catch up. */
const PART_OBJECTS = 20_000;

/** The positions of a chunk and its ids, joined to one text: enough to find conflicts, in little memory. */
interface ChunkIds {
  positions: number[];
  ids: string;
}

/**
 * `COPY ... FROM STDIN` of the objects of a new batch into `objects` in parts, each with a segment of the index. When an id exists, the
 * batch cannot be stored any more: from then on the ids of the current part and of all later objects are staged instead, so that every
 * conflict can be found.
 */
export class ObjectsCopyIn {
  /** The objects of completed parts. */
  readonly copied: UsageChange = { objects: 0, bytes: 0 };
  /** Whether an id exists already, or COPY failed as if one did. */
  hasConflict = false;
  /** The error of COPY. */
  failure: Error | undefined;
  private firstSeq: bigint | undefined;
  private lastSeq = 0n;
  private copy: CopyIn | undefined;
  /** Of the current part only, so that memory does not grow with the batch. */
  private part: ChunkIds[] = [];
  private readonly partSize: UsageChange = { objects: 0, bytes: 0 };
  /** The segment of the index of the current part. */
  private builder = new SegmentBuilder();

  constructor(
    private readonly store: BatchWriteStore,
    private readonly sequence: Sequence,
    private readonly tx: Transaction,
    private readonly target: { projectId: number; batchId: string },
    private readonly quotas: QuotaStore,
    private readonly segments: SegmentStore,
    /** What the project has room for. */
    private room: UsageChange,
  ) {}

  /** The sequence numbers of the objects. */
  get seqs(): SeqRange {
    return this.firstSeq === undefined ? null : [this.firstSeq.toString(), this.lastSeq.toString()];
  }

  /** @throws Problem quota-exceeded, before objects are sent that the project has no room for */
  async write(objects: readonly BatchObject[]): Promise<void> {
    if (objects.length === 0) return;
    const ids: ChunkIds = {
      positions: objects.map(({ position }) => position),
      ids: objects.map(({ objectId }) => objectId).join(COPY_DELIMITER),
    };
    if (this.hasConflict) {
      await this.stage(ids);
      return;
    }
    const { projectId, batchId } = this.target;
    const firstSeq = this.sequence.next(objects.length);
    this.firstSeq ??= firstSeq;
    this.lastSeq = firstSeq + BigInt((objects.length - 1) * SEQ_STEP);
    const { rows, bytes } = objectRows(projectId, batchId, firstSeq, objects);
    if (!(await this.hasRoomFor({ objects: objects.length, bytes }))) {
      await this.stage(ids);
      return;
    }
    if (this.copy === undefined) {
      await this.tx.query('SAVEPOINT part');
      this.copy = this.store.copyObjects(this.tx);
    }
    this.part.push(ids);
    this.partSize.objects += objects.length;
    this.partSize.bytes += bytes;
    const storing = this.succeeds(this.copy.write(rows));
    let isStored: boolean;
    try {
      // Meanwhile the database stores the rows.
      this.addToIndex(firstSeq, objects);
    } finally {
      isStored = await storing;
    }
    if (!isStored) await this.stagePart();
    else if (this.partSize.objects >= PART_OBJECTS || this.builder.isFull) await this.endPart();
  }

  private addToIndex(firstSeq: bigint, objects: readonly BatchObject[]): void {
    this.builder.add(
      objects.map((_, index) => firstSeq + BigInt(index * SEQ_STEP)),
      objects.map(({ data }) => data),
    );
  }

  /** Resolves when the database has stored, or staged, everything. */
  async end(): Promise<void> {
    if (!this.hasConflict) await this.endPart();
    if (this.hasConflict) await this.copy?.end();
  }

  /** False where an id of the part exists already. @throws Problem quota-exceeded */
  private async hasRoomFor({ objects, bytes }: UsageChange): Promise<boolean> {
    const total = {
      objects: this.copied.objects + this.partSize.objects + objects,
      bytes: this.copied.bytes + this.partSize.bytes + bytes,
    };
    if (!exceeds(total, this.room)) return true;
    // The room may have become larger meanwhile; a query has to wait for the end of the COPY.
    await this.endPart();
    if (this.hasConflict) return false;
    this.room = await this.quotas.requireRoom(this.tx, this.target.projectId, total);
    return true;
  }

  private async endPart(): Promise<void> {
    if (this.copy === undefined) return;
    if (!(await this.succeeds(this.copy.end()))) {
      await this.stagePart();
      return;
    }
    await this.segments.insertNew(this.tx, this.target.projectId, this.builder);
    this.builder = new SegmentBuilder();
    await this.tx.query('RELEASE SAVEPOINT part');
    this.copied.objects += this.partSize.objects;
    this.copied.bytes += this.partSize.bytes;
    this.copy = undefined;
    this.part = [];
    Object.assign(this.partSize, NO_CHANGE);
  }

  /** False where an id exists already. */
  private async succeeds(copying: Promise<void>): Promise<boolean> {
    try {
      await copying;
      return true;
    } catch (error) {
      if (!mayBeUniqueViolation(error)) throw error;
      this.failure = error as Error;
      return false;
    }
  }

  private async stagePart(): Promise<void> {
    this.hasConflict = true;
    this.builder = new SegmentBuilder();
    await this.tx.query('ROLLBACK TO SAVEPOINT part');
    await this.store.createStage(this.tx);
    this.copy = this.store.copyStaged(this.tx);
    for (const ids of this.part.splice(0)) await this.stage(ids);
  }

  private async stage({ positions, ids }: ChunkIds): Promise<void> {
    const objects = ids.split(COPY_DELIMITER).map((objectId, index) => {
      return { position: positions[index] ?? 0, objectId, subject: null, observedAt: null, data: '' };
    });
    await this.copy?.write(stagedRows(this.sequence.next(objects.length), objects).rows);
  }
}

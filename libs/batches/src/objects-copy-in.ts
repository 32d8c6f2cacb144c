import { isUniqueViolation, SEQ_STEP, type CopyIn, type Sequence, type Transaction } from '#database';
import { SegmentBuilder, type SegmentStore } from '#inverted-index';
import { exceeds, NO_CHANGE, type QuotaStore, type UsageChange } from '#usage';
import type { BatchObject } from './batch-object.js';
import { COPY_DELIMITER, objectRows, stagedRows } from './copy-rows.js';
import type { BatchWriteStore } from './batch-write.store.js';

/** Objects copied under one savepoint. After each segment the writer waits for the database to catch up. */
const SEGMENT_OBJECTS = 20_000;

/** The positions of a chunk and its ids, joined to one text: enough to find conflicts, in little memory. */
interface ChunkIds {
  positions: number[];
  ids: string;
}

/**
 * `COPY ... FROM STDIN` of the objects of a new batch into `objects`, each segment with its index. When an id exists, the batch cannot be stored any more: from
 * then on the ids of the current segment and of all later objects are staged instead, so that every conflict can be found.
 */
export class ObjectsCopyIn {
  /** The objects of completed segments. */
  readonly copied: UsageChange = { objects: 0, bytes: 0 };
  /** Whether an id exists already. */
  hasConflict = false;
  private copy: CopyIn | undefined;
  /** Of the current segment only, so that memory does not grow with the batch. */
  private segment: ChunkIds[] = [];
  private readonly segmentSize: UsageChange = { objects: 0, bytes: 0 };
  /** The index of the current segment. */
  private index = new SegmentBuilder();

  constructor(
    private readonly store: BatchWriteStore,
    private readonly sequence: Sequence,
    private readonly tx: Transaction,
    private readonly target: { projectId: number; batchId: string; isDryRun?: boolean },
    private readonly quotas: QuotaStore,
    private readonly segments: SegmentStore,
    /** What the project has room for. */
    private room: UsageChange,
  ) {}

  /** @throws Problem quota-exceeded, before objects are sent that the project has no room for */
  async write(objects: readonly BatchObject[]): Promise<void> {
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
    const { rows, bytes } = objectRows(projectId, batchId, firstSeq, objects);
    if (!(await this.hasRoomFor({ objects: objects.length, bytes }))) {
      await this.stage(ids);
      return;
    }
    if (this.copy === undefined) {
      await this.tx.query('SAVEPOINT segment');
      this.copy = this.store.copyObjects(this.tx);
    }
    this.segment.push(ids);
    this.segmentSize.objects += objects.length;
    this.segmentSize.bytes += bytes;
    // The index is built while the database stores the rows.
    const [isStored] = await Promise.all([this.succeeds(this.copy.write(rows)), this.addToIndex(firstSeq, objects)]);
    if (!isStored) await this.stageSegment();
    else if (this.segmentSize.objects >= SEGMENT_OBJECTS || this.index.isFull) await this.endSegment();
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- an error is thrown with that of the database
  private async addToIndex(firstSeq: bigint, objects: readonly BatchObject[]): Promise<void> {
    this.index.add(
      objects.map((_, index) => firstSeq + BigInt(index * SEQ_STEP)),
      objects.map(({ data }) => data),
    );
  }

  /** Resolves when the database has stored, or staged, everything. */
  async end(): Promise<void> {
    if (!this.hasConflict) await this.endSegment();
    if (this.hasConflict) await this.copy?.end();
  }

  /** False where an id of the segment exists already. @throws Problem quota-exceeded */
  private async hasRoomFor({ objects, bytes }: UsageChange): Promise<boolean> {
    const total = {
      objects: this.copied.objects + this.segmentSize.objects + objects,
      bytes: this.copied.bytes + this.segmentSize.bytes + bytes,
    };
    if (!exceeds(total, this.room)) return true;
    // The room may have become larger meanwhile; a query has to wait for the end of the COPY.
    await this.endSegment();
    if (this.hasConflict) return false;
    this.room = await this.quotas.requireRoom(this.tx, this.target.projectId, total);
    return true;
  }

  private async endSegment(): Promise<void> {
    if (this.copy === undefined) return;
    if (!(await this.succeeds(this.copy.end()))) {
      await this.stageSegment();
      return;
    }
    if (this.target.isDryRun !== true) await this.segments.insertNew(this.tx, this.target.projectId, this.index);
    this.index = new SegmentBuilder();
    await this.tx.query('RELEASE SAVEPOINT segment');
    this.copied.objects += this.segmentSize.objects;
    this.copied.bytes += this.segmentSize.bytes;
    this.copy = undefined;
    this.segment = [];
    Object.assign(this.segmentSize, NO_CHANGE);
  }

  /** False where an id exists already. */
  private async succeeds(copying: Promise<void>): Promise<boolean> {
    try {
      await copying;
      return true;
    } catch (error) {
      if (isUniqueViolation(error)) return false;
      throw error;
    }
  }

  private async stageSegment(): Promise<void> {
    this.hasConflict = true;
    this.index = new SegmentBuilder();
    await this.tx.query('ROLLBACK TO SAVEPOINT segment');
    await this.store.createStage(this.tx);
    this.copy = this.store.copyStaged(this.tx);
    for (const ids of this.segment.splice(0)) await this.stage(ids);
  }

  private async stage({ positions, ids }: ChunkIds): Promise<void> {
    const objects = ids.split(COPY_DELIMITER).map((objectId, index) => {
      return { position: positions[index] ?? 0, objectId, subject: null, observedAt: null, data: '' };
    });
    await this.copy?.write(stagedRows(this.sequence.next(objects.length), objects).rows);
  }
}

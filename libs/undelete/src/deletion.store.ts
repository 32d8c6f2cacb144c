import {
  Database,
  firstSeqAt,
  readPage,
  timeOfSeq,
  type Count,
  type ListSql,
  type Queryable,
  type Slice,
} from '#database';
import { ERRORS_LISTED_MAX, type PageRequest } from '#http';
import { changedObjectsSql } from '#inverted-index';
import { Maintenance } from '#jobs';
import { Config } from '#platform';
import {
  invalidateAllRollupsSql,
  NEW_BATCH_COLUMNS,
  NEW_OBJECT_COLUMNS,
  newObjectColumnsSql,
  type ObjectEntity,
  recordChangedSql,
  ROLLUP_COLUMNS,
} from '#store';
import { deletedBytesSql, UsageStore, type UsageChange } from '#usage';
import { Injectable } from '@nestjs/common';
import type { DeletionDto } from './deletion.dto.js';
import { purgeTask } from './purge-task.js';

const COLUMNS =
  'd.deletion_id, d.batch_id, d.batch_seq, d.batch_replaced_seq, d.object_id, d.object_count, d.is_counted';

const HOUR_MS = 3_600_000;

export interface DeletionRow {
  deletion_id: string;
  batch_id: string | null;
  /** Null where no batch was deleted. */
  batch_seq: string | null;
  batch_replaced_seq: string | null;
  object_id: string | null;
  object_count: string;
  /** Whether its objects are in `deleted_bytes` of the usage; null where a server of an earlier version deleted them. */
  is_counted: boolean | null;
}

/** The objects of a deletion, or one of them. */
export interface RestoredPart {
  projectId: number;
  deletionId: string;
  /** Null for all. */
  objectId: string | null;
}

/** What was deleted for good. */
export interface Expired {
  objects: number;
  /** What they took, where it was counted. */
  deletedBytes: number;
}

/** Deleted objects that are older than a project keeps them. */
export interface ExpiredRange {
  /** They were observed before it. */
  before: string;
  /** The sequence numbers of objects that are left out. */
  without: readonly string[];
}

type OldestObject = Pick<ObjectEntity, 'seq' | 'object_id'>;

/** What was inserted. */
export interface Inserted extends UsageChange {
  /** The batches with the numbers of their new objects. */
  batches: { batch_id: string; objects: string }[];
  /** What they took while they were deleted. */
  deletedBytes: number;
}

const LOCK = `SELECT ${COLUMNS} FROM deletions AS d WHERE d.project_id = $1 AND d.deletion_id = $2 AND d.deletion_id >= $3 FOR UPDATE`;

/** The last one of several with this id. */
const LOCK_BATCH_DELETION = `
  SELECT ${COLUMNS} FROM deletions AS d
  WHERE d.project_id = $1 AND d.batch_id = $2 AND d.batch_seq IS NOT NULL AND d.deletion_id >= $3
  ORDER BY d.deletion_id DESC LIMIT 1 FOR UPDATE`;
const LOCK_OBJECT_DELETION = `
  SELECT ${COLUMNS} FROM deletions AS d
  WHERE d.project_id = $1 AND d.deletion_id = (
    SELECT o.deletion_id FROM deleted_objects AS o
    WHERE o.project_id = $1 AND o.object_id = $2 AND o.deletion_id >= $3 ORDER BY o.deletion_id DESC LIMIT 1)
  FOR UPDATE`;

const PART = 'd.project_id = $1 AND d.deletion_id = $2 AND ($3::text IS NULL OR d.object_id = $3)';

const CREATE_BATCH = `
  INSERT INTO batches (${NEW_BATCH_COLUMNS}, replaced_seq) VALUES ($1::int, $2::text, $3::bigint, 0, $4::bigint, $5::bigint)
  ON CONFLICT (project_id, batch_id) DO NOTHING RETURNING seq`;

/** In the order of their ids, so that two transactions that lock the same batches never deadlock. */
const LOCK_BATCHES = `
  SELECT b.batch_id FROM batches AS b
  WHERE b.project_id = $1 AND b.batch_id IN (SELECT d.batch_id FROM deleted_objects AS d WHERE ${PART})
  ORDER BY b.batch_id FOR UPDATE`;

/**
 * A batch that was created after the deletion is another one with its id. It is not compared with the object, which can be older than its
 * batch: a process may draw the number of an object before another one draws that of the batch.
 */
const MISSING_BATCHES = `
  SELECT DISTINCT d.batch_id FROM deleted_objects AS d
  WHERE ${PART} AND NOT EXISTS (
    SELECT FROM batches AS b WHERE b.project_id = $1 AND b.batch_id = d.batch_id AND b.seq <= d.deletion_id)
  ORDER BY d.batch_id LIMIT ${String(ERRORS_LISTED_MAX)}`;

/** While stored values are being encrypted: the cursor of that stays as it is until the restore has ended. */
const LOCK_ENCRYPTION = `
  SELECT FROM projects WHERE project_id = $1 AND encryption_cursor IS NOT NULL FOR NO KEY UPDATE`;
const FIRST_SEQ = `SELECT min(d.seq) AS seq FROM deleted_objects AS d WHERE ${PART}`;
const LOWER_CURSOR = `
  UPDATE projects SET encryption_cursor = least(encryption_cursor, $2::bigint - 1) WHERE project_id = $1`;

/** Batches whose objects were all replaced after the deletion: it was not one of those that they have now. */
const REPLACED_BATCHES = `
  SELECT DISTINCT b.batch_id FROM deleted_objects AS d JOIN batches AS b ON b.project_id = d.project_id AND b.batch_id = d.batch_id
  WHERE ${PART} AND b.replaced_seq > d.deletion_id ORDER BY b.batch_id LIMIT ${String(ERRORS_LISTED_MAX)}`;

const RETENTION = `
  SELECT now() - make_interval(days => retention_days) AS before FROM projects
  WHERE project_id = $1 AND retention_days IS NOT NULL`;

/** Deletes objects of deletions that are locked. @param objects the condition on `deleted_objects AS d` */
const expireSql = (objects: string): string => `
  WITH gone AS (DELETE FROM deleted_objects AS d WHERE ${objects} RETURNING d.deletion_id, d.bytes),
  by_deletion AS (
    SELECT g.deletion_id, count(*) AS objects, ${deletedBytesSql('g')} AS bytes FROM gone AS g GROUP BY g.deletion_id
  ),
  changed AS (
    UPDATE deletions AS d SET object_count = d.object_count - g.objects FROM by_deletion AS g
    WHERE d.project_id = $1 AND d.deletion_id = g.deletion_id RETURNING g.objects, g.bytes, d.is_counted
  )
  SELECT coalesce(sum(objects), 0) AS objects, coalesce(sum(bytes) FILTER (WHERE is_counted), 0) AS bytes FROM changed`;

/** Of the deletion $2, or only the object $3: from before $4. */
const EXPIRE_PART = expireSql(`${PART} AND d.observed_at < $4::timestamptz`);

/**
 * Deleted objects from before $2, without those with the sequence numbers $3. They are ordered by the time alone, which the index has: of 200,000
 * objects of one time, the first 1,000 take 0.2 ms, and by `(observed_at, seq)` 92 ms, because all are sorted.
 */
const IS_OLD = 'o.project_id = $1 AND o.observed_at < $2::timestamptz AND o.seq <> ALL ($3::bigint[])';
const FIND_OLDEST = `SELECT o.seq, o.object_id FROM deleted_objects AS o WHERE ${IS_OLD} ORDER BY o.observed_at LIMIT 1`;

/** A deletion that is being restored is left to the next run. */
const LOCK_EXPIRED = `
  SELECT e.deletion_id FROM deletions AS e WHERE e.project_id = $1 AND e.deletion_id IN (
    SELECT deletion_id FROM (
      SELECT o.deletion_id FROM deleted_objects AS o WHERE ${IS_OLD} ORDER BY o.observed_at LIMIT $4::int) AS oldest)
  ORDER BY e.deletion_id FOR UPDATE SKIP LOCKED`;
const EXPIRE = expireSql(`
  d.project_id = $1 AND (d.deletion_id, d.seq) IN (
    SELECT o.deletion_id, o.seq FROM deleted_objects AS o WHERE ${IS_OLD} AND o.deletion_id = ANY ($5::bigint[])
    ORDER BY o.observed_at LIMIT $4::int)`);
const DELETE_EMPTY = `
  DELETE FROM deletions WHERE project_id = $1 AND deletion_id = ANY ($2::bigint[]) AND object_count = 0 AND batch_seq IS NULL`;

const TAKEN_IDS = `
  SELECT d.object_id FROM deleted_objects AS d
  WHERE ${PART} AND EXISTS (SELECT FROM objects AS o WHERE o.project_id = $1 AND o.object_id = d.object_id)
  ORDER BY d.seq LIMIT ${String(ERRORS_LISTED_MAX)}`;

/** Their entries in segments of the index stay outdated, and they are pending again, as objects that changed. */
const INSERT = `
  WITH added AS (
    INSERT INTO objects (${NEW_OBJECT_COLUMNS})
    SELECT ${newObjectColumnsSql('d')} FROM deleted_objects AS d WHERE ${PART} ORDER BY d.seq
    RETURNING ${ROLLUP_COLUMNS}, bytes, seq, batch_id, object_id
  ),
  by_batch AS (SELECT batch_id, count(*) AS objects, sum(bytes) AS bytes, ${deletedBytesSql('added')} AS deleted_bytes FROM added GROUP BY batch_id),
  changed_batches AS (
    UPDATE batches AS b SET object_count = b.object_count + a.objects, revision = $4::bigint, digest = NULL
    FROM by_batch AS a WHERE b.project_id = $1 AND b.batch_id = a.batch_id
  ),
  ${changedObjectsSql('added')},
  invalidated AS (${invalidateAllRollupsSql('added')}),
  recorded AS (${recordChangedSql('added')}),
  gone AS (DELETE FROM deleted_objects AS d WHERE ${PART})
  SELECT batch_id, objects, bytes, deleted_bytes FROM by_batch`;

/** A deletion without objects is deleted, unless its batch can still be restored. */
const FINISH = `
  UPDATE deletions SET object_count = object_count - $3::bigint WHERE project_id = $1 AND deletion_id = $2`;
const DELETE_RESTORED = `
  DELETE FROM deletions WHERE project_id = $1 AND deletion_id = $2 AND object_count = 0 AND ($3::boolean OR batch_seq IS NULL)`;

/** The tables of deleted batches and objects. */
@Injectable()
export class DeletionStore {
  private readonly hours: number;

  constructor(
    private readonly database: Database,
    private readonly config: Config,
    private readonly usage: UsageStore,
    maintenance: Maintenance,
  ) {
    this.hours = config.limits.undeleteHours;
    maintenance.add(purgeTask(this.hours));
  }

  /** Lists the deletions that can be restored, newest first. */
  async list(
    projectId: number,
    page: PageRequest,
  ): Promise<{ slice: Slice<DeletionDto & { seq: string }>; count: Count }> {
    const list: ListSql = {
      select: `${COLUMNS}, d.deletion_id AS seq`,
      from: 'deletions AS d',
      where: 'd.project_id = $1 AND d.deletion_id >= $2',
      seq: 'd.deletion_id',
      values: [projectId, this.firstRestorable()],
    };
    const { countCap } = this.config.limits;
    const { slice, count } = await readPage<DeletionRow & { seq: string }>(this.database, list, page, countCap);
    return { slice: { ...slice, items: slice.items.map((row) => ({ seq: row.seq, ...this.dtoOf(row) })) }, count };
  }

  /** Locks a deletion that can be restored; null where there is none. */
  find(tx: Queryable, projectId: number, deletionId: string): Promise<DeletionRow | null> {
    return this.lock(tx, LOCK, projectId, deletionId);
  }

  /** The same for the last deletion of a batch. */
  findOfBatch(tx: Queryable, projectId: number, batchId: string): Promise<DeletionRow | null> {
    return this.lock(tx, LOCK_BATCH_DELETION, projectId, batchId);
  }

  /** The same for the last deletion of an object, also with others or with its batch. */
  findOfObject(tx: Queryable, projectId: number, objectId: string): Promise<DeletionRow | null> {
    return this.lock(tx, LOCK_OBJECT_DELETION, projectId, objectId);
  }

  /** Creates and locks a batch that was deleted. @returns false where its id exists */
  async createBatch(tx: Queryable, projectId: number, row: DeletionRow, revision: bigint): Promise<boolean> {
    const values = [projectId, row.batch_id, row.batch_seq, revision.toString(), row.batch_replaced_seq];
    return (await tx.query(CREATE_BATCH, values)).length > 0;
  }

  /** Locks the batches of deleted objects. @returns the first of those that do not exist */
  async lockBatches(tx: Queryable, part: RestoredPart): Promise<string[]> {
    await tx.query(LOCK_BATCHES, valuesOf(part));
    return (await tx.query<{ batch_id: string }>(MISSING_BATCHES, valuesOf(part))).map((row) => row.batch_id);
  }

  /**
   * Has the objects looked at again whose values are being encrypted: they may not have been, neither as deleted ones nor as others. Call it
   * before they are read.
   */
  async encryptAgain(tx: Queryable, part: RestoredPart): Promise<void> {
    if ((await tx.query(LOCK_ENCRYPTION, [part.projectId])).length === 0) return;
    const [row] = await tx.query<{ seq: string | null }>(FIRST_SEQ, valuesOf(part));
    if (row?.seq != null) await tx.query(LOWER_CURSOR, [part.projectId, row.seq]);
  }

  /** The first of the batches, which are locked, whose objects were replaced after the deletion. */
  async replacedBatches(tx: Queryable, part: RestoredPart): Promise<string[]> {
    return (await tx.query<{ batch_id: string }>(REPLACED_BATCHES, valuesOf(part))).map((row) => row.batch_id);
  }

  /** Deletes those objects of a locked deletion that are older than the retention of the project. */
  async expirePart(tx: Queryable, part: RestoredPart): Promise<Expired> {
    const [retention] = await tx.query<{ before: string }>(RETENTION, [part.projectId]);
    if (retention === undefined) return { objects: 0, deletedBytes: 0 };
    return expiredOf(await tx.query(EXPIRE_PART, [...valuesOf(part), retention.before]));
  }

  /** The deleted object that `expire` deletes first; null where there is none. */
  async findOldest(projectId: number, { before, without }: ExpiredRange): Promise<OldestObject | null> {
    const [row] = await this.database.query<OldestObject>(FIND_OLDEST, [projectId, before, without]);
    return row ?? null;
  }

  /**
   * Deletes deleted objects of a range, at most `limit` of them, the oldest first.
   * @returns their number
   */
  async expire(tx: Queryable, projectId: number, { before, without }: ExpiredRange, limit: number): Promise<number> {
    const locked = await tx.query<{ deletion_id: string }>(LOCK_EXPIRED, [projectId, before, without, limit]);
    const ids = locked.map((row) => row.deletion_id);
    if (ids.length === 0) return 0;
    const { objects, deletedBytes } = expiredOf(await tx.query(EXPIRE, [projectId, before, without, limit, ids]));
    await tx.query(DELETE_EMPTY, [projectId, ids]);
    await this.usage.subtractDeleted(tx, projectId, deletedBytes);
    return objects;
  }

  /** The first ids that objects have again. */
  async takenIds(tx: Queryable, part: RestoredPart): Promise<string[]> {
    return (await tx.query<{ object_id: string }>(TAKEN_IDS, valuesOf(part))).map((row) => row.object_id);
  }

  /** Moves deleted objects back into their batches, which are locked. @throws a unique violation where an id exists */
  async insert(tx: Queryable, part: RestoredPart, revision: bigint): Promise<Inserted> {
    type Row = Inserted['batches'][number] & { bytes: string; deleted_bytes: string };
    const rows = await tx.query<Row>(INSERT, [...valuesOf(part), revision.toString()]);
    const sum = (of: (row: Row) => string): number => rows.reduce((total, row) => total + Number(of(row)), 0);
    return {
      objects: sum((row) => row.objects),
      bytes: sum((row) => row.bytes),
      deletedBytes: sum((row) => row.deleted_bytes),
      batches: rows,
    };
  }

  /** Subtracts restored objects from a deletion, and deletes it where nothing is left of it. */
  async finish(tx: Queryable, { projectId, deletionId, objectId }: RestoredPart, restored: number): Promise<void> {
    await tx.query(FINISH, [projectId, deletionId, restored]);
    await tx.query(DELETE_RESTORED, [projectId, deletionId, objectId === null]);
  }

  private async lock(tx: Queryable, text: string, projectId: number, id: string): Promise<DeletionRow | null> {
    if (this.hours === 0) return null;
    const [row] = await tx.query<DeletionRow>(text, [projectId, id, this.firstRestorable()]);
    return row ?? null;
  }

  /** The id that a deletion would have that expires now. */
  private firstRestorable(): string {
    return firstSeqAt(Date.now() - this.hours * HOUR_MS);
  }

  private dtoOf({ deletion_id, batch_id, object_id, object_count }: DeletionRow): DeletionDto {
    const deletedAt = timeOfSeq(deletion_id);
    const until = new Date(Date.parse(deletedAt) + this.hours * HOUR_MS).toISOString();
    return {
      deletion_id,
      deleted_at: deletedAt,
      restorable_until: until,
      batch_id,
      object_id,
      object_count: Number(object_count),
    };
  }
}

function expiredOf([row]: object[]): Expired {
  const { objects, bytes } = row as { objects: string; bytes: string };
  return { objects: Number(objects), deletedBytes: Number(bytes) };
}

function valuesOf({ projectId, deletionId, objectId }: RestoredPart): unknown[] {
  return [projectId, deletionId, objectId];
}

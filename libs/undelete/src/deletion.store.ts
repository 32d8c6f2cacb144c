import {
  Database,
  firstSeqAt,
  firstSeqAtSql,
  readPage,
  timeOfSeq,
  timeOfSeqSql,
  type Count,
  type ListSql,
  type Queryable,
  type Slice,
} from '#database';
import { ERRORS_LISTED_MAX, type PageRequest } from '#http';
import { changedObjectsSql } from '#inverted-index';
import { Maintenance, type MaintenanceTask } from '#jobs';
import { Config } from '#platform';
import {
  invalidateAllRollupsSql,
  NEW_BATCH_COLUMNS,
  NEW_OBJECT_COLUMNS,
  newObjectColumnsSql,
  recordChangedSql,
  ROLLUP_COLUMNS,
} from '#store';
import type { UsageChange } from '#usage';
import { Injectable } from '@nestjs/common';
import type { DeletionDto } from './deletion.dto.js';

const COLUMNS = 'd.deletion_id, d.batch_id, d.batch_seq, d.object_id, d.object_count';

const HOUR_MS = 3_600_000;

/** Deletions that have expired, and rows of them that one statement deletes. */
const PURGED_DELETIONS = 100;
const PURGED_ROWS = 2_000;

export interface DeletionRow {
  deletion_id: string;
  batch_id: string | null;
  /** Null where no batch was deleted. */
  batch_seq: string | null;
  object_id: string | null;
  object_count: string;
}

/** The objects of a deletion, or one of them. */
export interface RestoredPart {
  projectId: number;
  deletionId: string;
  /** Null for all. */
  objectId: string | null;
}

/** What was inserted. */
export interface Inserted extends UsageChange {
  /** The batches with the numbers of their new objects. */
  batches: { batch_id: string; objects: string }[];
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
  INSERT INTO batches (${NEW_BATCH_COLUMNS}) VALUES ($1::int, $2::text, $3::bigint, 0, $4::bigint)
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
  by_batch AS (SELECT batch_id, count(*) AS objects, sum(bytes) AS bytes FROM added GROUP BY batch_id),
  changed_batches AS (
    UPDATE batches AS b SET object_count = b.object_count + a.objects, revision = $4::bigint, digest = NULL
    FROM by_batch AS a WHERE b.project_id = $1 AND b.batch_id = a.batch_id
  ),
  ${changedObjectsSql('added')},
  invalidated AS (${invalidateAllRollupsSql('added')}),
  recorded AS (${recordChangedSql('added')}),
  gone AS (DELETE FROM deleted_objects AS d WHERE ${PART})
  SELECT batch_id, objects, bytes FROM by_batch`;

/** A deletion without objects is deleted, unless its batch can still be restored. */
const FINISH = `
  UPDATE deletions SET object_count = object_count - $3::bigint WHERE project_id = $1 AND deletion_id = $2`;
const DELETE_RESTORED = `
  DELETE FROM deletions WHERE project_id = $1 AND deletion_id = $2 AND object_count = 0 AND ($3::boolean OR batch_seq IS NULL)`;

/**
 * Deletes the rows of expired deletions, unless they are being restored, and expired deletions without rows. A deletion is deleted in a later statement than its last
 * row, because a statement does not see what it deletes.
 */
function purgeTask(hours: number): MaintenanceTask {
  const kept = `interval '${String(hours)} hours'`;
  return {
    name: 'delete what can no longer be restored',
    sql: `
      WITH expired AS MATERIALIZED (
        SELECT project_id, deletion_id FROM deletions WHERE deletion_id < ${firstSeqAtSql(`(now() - ${kept})`)}
        ORDER BY deletion_id LIMIT ${String(PURGED_DELETIONS)} FOR UPDATE SKIP LOCKED
      ),
      purged AS (
        DELETE FROM deleted_objects WHERE (project_id, deletion_id, seq) IN (
          SELECT o.* FROM expired AS e, LATERAL (
            SELECT d.project_id, d.deletion_id, d.seq FROM deleted_objects AS d
            WHERE d.project_id = e.project_id AND d.deletion_id = e.deletion_id
            ORDER BY d.project_id, d.deletion_id, d.seq LIMIT ${String(PURGED_ROWS)}
          ) AS o LIMIT ${String(PURGED_ROWS)})
        RETURNING 1
      ),
      ended AS (
        DELETE FROM deletions AS d USING expired AS e
        WHERE d.project_id = e.project_id AND d.deletion_id = e.deletion_id AND NOT EXISTS (
          SELECT FROM deleted_objects AS o WHERE o.project_id = e.project_id AND o.deletion_id = e.deletion_id)
        RETURNING 1
      )
      SELECT EXISTS (SELECT FROM purged) OR EXISTS (SELECT FROM ended) AS has_more`,
    dueSql: `SELECT ${timeOfSeqSql('min(deletion_id)')} + ${kept} FROM deletions`,
  };
}

/** The tables of deleted batches and objects. */
@Injectable()
export class DeletionStore {
  private readonly hours: number;

  constructor(
    private readonly database: Database,
    private readonly config: Config,
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
    const values = [projectId, row.batch_id, row.batch_seq, revision.toString()];
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

  /** The first ids that objects have again. */
  async takenIds(tx: Queryable, part: RestoredPart): Promise<string[]> {
    return (await tx.query<{ object_id: string }>(TAKEN_IDS, valuesOf(part))).map((row) => row.object_id);
  }

  /** Moves deleted objects back into their batches, which are locked. @throws a unique violation where an id exists */
  async insert(tx: Queryable, part: RestoredPart, revision: bigint): Promise<Inserted> {
    type Row = Inserted['batches'][number] & { bytes: string };
    const rows = await tx.query<Row>(INSERT, [...valuesOf(part), revision.toString()]);
    const sum = (of: (row: Row) => string): number => rows.reduce((total, row) => total + Number(of(row)), 0);
    return { objects: sum((row) => row.objects), bytes: sum((row) => row.bytes), batches: rows };
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

function valuesOf({ projectId, deletionId, objectId }: RestoredPart): unknown[] {
  return [projectId, deletionId, objectId];
}

import { ERRORS_LISTED_MAX } from '#http';
import { Database, isUniqueViolation, timeOfSeqSql, type CopyIn, type Queryable, type Transaction } from '#database';
import { addPendingSql, deletedObjectsSql } from '#inverted-index';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import {
  addObjectsSql,
  BATCH_COLUMNS,
  BatchEntity,
  type BatchRow,
  columnListSql,
  columns,
  dataBytes,
  haveSubjects,
  insertOneObject,
  insertRow,
  invalidateAllRollupsSql,
  invalidateRollupsSql,
  NEW_BATCH_COLUMNS,
  NEW_OBJECT_COLUMNS,
  type NewObjectRow,
  ObjectEntity,
  recordCreatedRangeSql,
  recordDeletedSql,
  ROLLUP_COLUMNS,
} from '#store';
import { keepDeletedSql, keepObjectsSql } from '#undelete';
import { ADD_USAGE, subtractUsageSql, type UsageChange } from '#usage';
import { COPY_FORMAT } from './copy-rows.js';

const INSERT_BATCH_ROW = `
  INSERT INTO batches (${NEW_BATCH_COLUMNS}) VALUES ($1::int, $2::text, $3::bigint, $4::bigint, $3::bigint)`;

/**
 * A batch and all of its objects in one statement, which is one transaction and one round trip. PostgreSQL parses the client's
 * own text, so no digit passes through JavaScript.
 */
const insertBatchSql = (hasSubjects: boolean): string => `
    WITH batch AS (
      ${INSERT_BATCH_ROW}
      RETURNING batch_id
    ),
    ${addObjectsSql('batch', { addsUsage: true, hasSubjects, isBatch: true })}`;

const INSERT_BATCH = { name: 'batch.insert', text: insertBatchSql(false) };
const INSERT_BATCH_WITH_SUBJECTS = { name: 'batch.insert-subjects', text: insertBatchSql(true) };

/** The batch alone. */
const INSERT_ROW = { name: 'batch.insert-row', text: INSERT_BATCH_ROW };

/** Creates the batch and locks it until the transaction ends; no row where it exists. */
const CREATE = {
  name: 'batch.create',
  text: `
    INSERT INTO batches (${NEW_BATCH_COLUMNS})
    VALUES ($1::int, $2::text, $3::bigint, 0, $3::bigint)
    ON CONFLICT (project_id, batch_id) DO NOTHING RETURNING seq`,
};

const LOCK = {
  name: 'batch.lock',
  text: `SELECT ${BATCH_COLUMNS}, b.digest FROM batches AS b WHERE b.project_id = $1 AND b.batch_id = $2 FOR UPDATE`,
};

const FINISH = {
  name: 'batch.finish',
  text: `
    WITH recorded AS (
      ${recordCreatedRangeSql({ first: '$6::bigint', last: '$7::bigint', count: '$3::bigint' })}
    )
    UPDATE batches AS b SET object_count = b.object_count + $3::bigint, revision = $4::bigint, digest = $5::bytea
    WHERE b.project_id = $1 AND b.batch_id = $2 RETURNING ${BATCH_COLUMNS}`,
};

const CLEAR = {
  name: 'batch.clear',
  text: `
    WITH deleted AS (DELETE FROM objects WHERE project_id = $1 AND batch_id = $2
      RETURNING ${ROLLUP_COLUMNS}, bytes, seq, batch_id, object_id),
    ${deletedObjectsSql('deleted')},
    recorded AS (${recordDeletedSql('deleted')}),
    invalidated AS (${invalidateAllRollupsSql('deleted')})
    UPDATE batches SET object_count = 0, replaced_seq = $3::bigint WHERE project_id = $1 AND batch_id = $2
    RETURNING (SELECT count(*) FROM deleted) AS objects, (SELECT coalesce(sum(bytes), 0) FROM deleted) AS bytes`,
};

const DELETE_OBJECTS = {
  name: 'batch.delete-objects',
  text: `
    WITH ${keepObjectsSql('o.batch_id = $2', '$3')},
    deleted AS (DELETE FROM objects WHERE project_id = $1 AND batch_id = $2
      RETURNING ${ROLLUP_COLUMNS}, bytes, seq, batch_id, object_id),
    ${keepDeletedSql('deleted', { id: '$3', batch: { id: '$2', seq: '$4', replacedSeq: '$5' } })},
    ${deletedObjectsSql('deleted')},
    recorded AS (${recordDeletedSql('deleted')}),
    usage AS (${subtractUsageSql('deleted', '$3')})
    ${invalidateRollupsSql('deleted')}`,
};

/** The first ids of a batch in its order, for the audit log. */
const FIRST_IDS = `SELECT object_id FROM objects WHERE project_id = $1 AND batch_id = $2 ORDER BY seq LIMIT $3`;

const DELETE_BATCH = {
  name: 'batch.delete',
  text: `DELETE FROM batches WHERE project_id = $1 AND batch_id = $2 RETURNING replaced_seq`,
};

/** COPY does not return the rows that it adds, so they are read again; others of the batch are not, which may be many. */
const INVALIDATE_ROLLUPS = {
  name: 'batch.invalidate-rollups',
  text: invalidateRollupsSql(
    `(SELECT ${ROLLUP_COLUMNS} FROM objects WHERE project_id = $1 AND batch_id = $2 AND seq BETWEEN $3 AND $4)`,
  ),
};

const STORE_DIGEST = {
  name: 'batch.store-digest',
  text: `UPDATE batches SET digest = $3 WHERE project_id = $1 AND batch_id = $2`,
};

const COPY_OBJECTS = `COPY objects (${NEW_OBJECT_COLUMNS}) FROM STDIN ${COPY_FORMAT}`;
const STAGED_COLUMNS = columnListSql(
  columns(ObjectEntity, 'object_id', 'seq', 'subject', 'observed_at', 'data', 'bytes'),
);
const COPY_STAGED = `COPY staged (position, ${STAGED_COLUMNS}) FROM STDIN ${COPY_FORMAT}`;

/** A temporary table of the connection, empty at the start of every transaction; each connection creates it once. */
const CREATE_STAGE = `
  CREATE TEMP TABLE IF NOT EXISTS staged (
    position bigint, object_id text COLLATE "C", seq bigint, subject text COLLATE "C", observed_at timestamptz, data jsonb,
    bytes integer
  ) ON COMMIT DELETE ROWS`;

/**
 * A digest of objects in their order. In slices of 65,536, because a value of PostgreSQL is limited to 1 GB, which is 32 bytes
 * for each of 33 million objects. As when a batch is read, `observed_at` counts only where it was sent.
 */
function digestSql(objects: string): string {
  return `
    SELECT sha256(coalesce(string_agg(part, ''::bytea ORDER BY slice), ''::bytea)) AS digest FROM (
      SELECT slice, sha256(string_agg(digest, ''::bytea ORDER BY ordinal)) AS part FROM (
        SELECT ordinal, ordinal / 65536 AS slice,
          sha256(convert_to(jsonb_build_array(object_id, subject, observed_at, data)::text, 'UTF8')) AS digest
        FROM (SELECT row_number() OVER (ORDER BY seq) AS ordinal, * FROM (${objects}) AS o) AS numbered
      ) AS digests GROUP BY slice
    ) AS parts`;
}

/** What is compared of a batch: as it is staged, and as it is stored. */
export const STAGED_OBJECTS = `SELECT ${STAGED_COLUMNS} FROM staged`;
export const STORED_OBJECTS = `
  SELECT seq, object_id, subject, nullif(observed_at, ${timeOfSeqSql('seq')}) AS observed_at, data
  FROM objects WHERE project_id = $1 AND batch_id = $2`;
const COUNT_STAGED = 'SELECT count(*) AS objects FROM staged';
const DIGEST_STAGED = digestSql(STAGED_OBJECTS);
const DIGEST_STORED = digestSql(STORED_OBJECTS);

/** Which stored objects conflict with staged ones of the same id. */
export type ConflictScope = 'any' | 'of other batches' | 'none';

const SCOPE_CONDITIONS: Readonly<Record<ConflictScope, string>> = {
  any: 'true',
  'of other batches': 'o.batch_id <> $2',
  none: 'false',
};

/** $3: whether stored objects of this batch are earlier objects of the same request. */
const conflictsSql = (scope: ConflictScope): string => `
  SELECT s.position, s.seq, s.object_id, o.batch_id <> $2 OR NOT $3::boolean AS exists, o.batch_id <> $2 AS is_elsewhere
  FROM staged AS s JOIN objects AS o ON o.project_id = $1 AND o.object_id = s.object_id AND ${SCOPE_CONDITIONS[scope]}
  UNION ALL
  SELECT position, seq, object_id, false, false FROM (
    SELECT position, seq, object_id, row_number() OVER (PARTITION BY object_id ORDER BY seq) AS nth FROM staged
  ) AS numbered WHERE nth > 1`;

const INSERT_STAGED = `
  INSERT INTO objects (${NEW_OBJECT_COLUMNS})
  SELECT $1::int, $2::text, object_id, seq, subject, coalesce(observed_at, ${timeOfSeqSql('seq')}), data, bytes
  FROM staged ORDER BY seq`;

export type LockedBatch = BatchRow & Pick<BatchEntity, 'digest'>;

/** An object whose id exists, or appears earlier in the same batch. */
export interface Conflict {
  position: string;
  object_id: string;
  exists: boolean;
  /** Whether another batch has the object. */
  is_elsewhere: boolean;
  /** Number of conflicts in all; the list has at most 100. */
  total: string;
}

export type BatchTarget = readonly [projectId: number, batchId: string];

/** The lowest and the highest sequence number of added objects; null without objects. */
export type SeqRange = readonly [first: string, last: string] | null;

/** What was inserted of the staged objects, and how many were staged. */
export interface StagedCounts {
  added: UsageChange;
  addedSeqs: SeqRange;
  staged: number;
}

/** The statements that write batches. */
@Injectable()
export class BatchWriteStore {
  constructor(
    @InjectRepository(BatchEntity) private readonly batches: Repository<BatchEntity>,
    private readonly database: Database,
  ) {}

  /**
   * Stores a batch with its objects in one statement. A statement that is repeated after a lost connection finds its own batch,
   * which has the same `seq`.
   * @throws a unique violation where an id exists
   */
  async insert([projectId, batchId]: BatchTarget, seq: bigint, objects: readonly NewObjectRow[]): Promise<void> {
    const row = [projectId, batchId, seq.toString(), objects.length] as const;
    const [only] = objects;
    const isOne = this.database.isDistributed && only !== undefined && objects.length === 1;
    const statement = haveSubjects(objects) ? INSERT_BATCH_WITH_SUBJECTS : INSERT_BATCH;
    const rows = isOne ? '' : `[${objects.map(insertRow).join()}]`;
    await this.database.retrying(async () => {
      try {
        if (isOne) await this.insertOne(row, only);
        else await this.database.query(statement, [...row, rows]);
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        const own = { project_id: projectId, batch_id: batchId, seq: seq.toString() };
        if (!(await this.batches.existsBy(own))) throw error;
      }
    });
  }

  /** Stores a batch with one object: on a cluster in short statements. */
  private insertOne(row: readonly [number, string, string, number], object: NewObjectRow): Promise<void> {
    const [projectId, batchId, seq] = row;
    return this.database.transactionOnce(async (tx) => {
      await tx.query(INSERT_ROW, row);
      await insertOneObject(tx, { projectId, batchId, seq, isBatch: true }, object);
      await tx.query(ADD_USAGE, [projectId, 1, dataBytes(object.data)]);
    });
  }

  /** Creates and locks the batch. @returns false where it exists */
  async create(tx: Queryable, target: BatchTarget, seq: bigint): Promise<boolean> {
    return (await tx.query(CREATE, [...target, seq.toString()])).length > 0;
  }

  /** Locks the batch; null where it does not exist. */
  async lock(tx: Queryable, target: BatchTarget): Promise<LockedBatch | null> {
    const [row] = await tx.query<LockedBatch>(LOCK, target);
    return row ?? null;
  }

  /** Updates a locked batch after objects were added, and records them. */
  async finish(
    tx: Queryable,
    target: BatchTarget,
    {
      added,
      addedSeqs,
      revision,
      digest,
    }: { added: number; addedSeqs: SeqRange; revision: bigint; digest: Buffer | null },
  ): Promise<BatchRow> {
    const values = [...target, added, revision.toString(), digest, ...(addedSeqs ?? [null, null])];
    const [row] = await tx.query<BatchRow>(FINISH, values);
    if (row === undefined) throw new Error('a locked batch does not exist');
    return row;
  }

  /** Invalidates the rollups of the hours of objects that were added to the batch. */
  async invalidateRollups(tx: Queryable, target: BatchTarget, addedSeqs: NonNullable<SeqRange>): Promise<void> {
    await tx.query(INVALIDATE_ROLLUPS, [...target, ...addedSeqs]);
  }

  /** Deletes the objects of a locked batch, which others replace. @returns what was deleted */
  async clear(tx: Queryable, target: BatchTarget, replacedSeq: bigint): Promise<UsageChange> {
    const [row] = await tx.query<{ objects: string; bytes: string }>(CLEAR, [...target, replacedSeq.toString()]);
    return { objects: Number(row?.objects), bytes: Number(row?.bytes) };
  }

  /** The ids of the first objects of a batch, in their order. */
  async firstIds(tx: Queryable, target: BatchTarget, limit: number): Promise<string[]> {
    const rows = await tx.query<{ object_id: string }>(FIRST_IDS, [...target, limit]);
    return rows.map((row) => row.object_id);
  }

  /** Deletes a locked batch with its objects. @param deletionId null where it cannot be restored */
  async delete(tx: Queryable, target: BatchTarget, batchSeq: string, deletionId: string | null): Promise<void> {
    const [batch] = await tx.query<Pick<BatchEntity, 'replaced_seq'>>(DELETE_BATCH, target);
    // The last statement, because it locks the usage of the project.
    await tx.query(DELETE_OBJECTS, [...target, deletionId, batchSeq, batch?.replaced_seq ?? null]);
  }

  copyObjects(tx: Transaction): CopyIn {
    return tx.copyIn(COPY_OBJECTS);
  }

  async createStage(tx: Queryable): Promise<void> {
    await tx.query(CREATE_STAGE);
  }

  copyStaged(tx: Transaction): CopyIn {
    return tx.copyIn(COPY_STAGED);
  }

  async countStaged(tx: Queryable): Promise<number> {
    const [row] = await tx.query<{ objects: string }>(COUNT_STAGED);
    return Number(row?.objects);
  }

  async digestStaged(tx: Queryable): Promise<Buffer> {
    return digestOf(await tx.query(DIGEST_STAGED));
  }

  /** Computes the digest of the stored objects, and stores it with the batch. */
  async digestStored(tx: Queryable, target: BatchTarget): Promise<Buffer> {
    const digest = digestOf(await tx.query(DIGEST_STORED, target));
    await tx.query(STORE_DIGEST, [...target, digest]);
    return digest;
  }

  /**
   * Lists the first staged objects with a conflict.
   * @param isOwnEarlier whether stored objects of this batch are earlier objects of the same request
   */
  conflicts(tx: Queryable, target: BatchTarget, scope: ConflictScope, isOwnEarlier = false): Promise<Conflict[]> {
    return tx.query<Conflict>(
      `SELECT position, object_id, bool_or(exists) AS exists, bool_or(is_elsewhere) AS is_elsewhere, count(*) OVER () AS total
       FROM (${conflictsSql(scope)}) AS c GROUP BY position, object_id ORDER BY position LIMIT $4`,
      [...target, isOwnEarlier, ERRORS_LISTED_MAX],
    );
  }

  /** Removes the staged objects with a conflict. */
  async removeConflicts(tx: Queryable, target: BatchTarget, scope: ConflictScope): Promise<void> {
    const text = `DELETE FROM staged WHERE seq IN (SELECT seq FROM (${conflictsSql(scope)}) AS c)`;
    await tx.query(text, [...target, false]);
  }

  /**
   * Inserts the staged objects.
   * @param skipExisting leaves existing objects as they are; without it an existing id is a unique violation
   * @returns how many were added, with the bytes of their data, and how many were staged
   */
  async insertStaged(tx: Queryable, target: BatchTarget, skipExisting: boolean): Promise<StagedCounts> {
    const onConflict = skipExisting ? 'ON CONFLICT (project_id, object_id) DO NOTHING' : '';
    const [row] = await tx.query<{
      added: string;
      bytes: string;
      first: string | null;
      last: string | null;
      staged: string;
    }>(
      `WITH added AS (${INSERT_STAGED} ${onConflict} RETURNING project_id, seq, bytes),
       pending AS (${addPendingSql('added')})
       SELECT count(*) AS added, coalesce(sum(bytes), 0) AS bytes, min(seq) AS first, max(seq) AS last,
         (SELECT count(*) FROM staged) AS staged
       FROM added`,
      target,
    );
    if (row === undefined) throw new Error('an aggregate without a row');
    const { added, bytes, first, last, staged } = row;
    const addedSeqs = first === null || last === null ? null : ([first, last] as const);
    return { added: { objects: Number(added), bytes: Number(bytes) }, addedSeqs, staged: Number(staged) };
  }
}

function digestOf(rows: object[]): Buffer {
  return (rows[0] as { digest: Buffer }).digest;
}

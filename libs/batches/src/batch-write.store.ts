import { ERRORS_LISTED_MAX } from '#http';
import { timeOfSeqSql, type CopyIn, type Queryable, type Transaction } from '#database';
import { Injectable } from '@nestjs/common';
import { FORMAT } from './batch-rows.js';
import {
  BATCH_COLUMNS,
  type BatchEntity,
  type BatchRow,
  columnListSql,
  columns,
  invalidateAllRollupsSql,
  invalidateRollupsSql,
  NEW_BATCH_COLUMNS,
  NEW_OBJECT_COLUMNS,
  ObjectEntity,
  ROLLUP_COLUMNS,
} from '#store';

/** A stream writes for as long as it is sent, which the pace of its body bounds and not the time of a statement. */
const PREPARE = {
  name: 'write.prepare',
  text: `SELECT set_config('statement_timeout', '0', true)`,
};

/** Makes the batch, under a lock that keeps everybody else out until the transaction ends; nothing when it is there. */
const CLAIM = {
  name: 'write.claim',
  text: `
    INSERT INTO batches (${NEW_BATCH_COLUMNS})
    VALUES ($1::int, $2::text, $3::bigint, 0, $3::bigint)
    ON CONFLICT (project_id, batch_id) DO NOTHING RETURNING seq`,
};

const LOCK = {
  name: 'write.lock',
  text: `
    SELECT ${BATCH_COLUMNS}, b.digest FROM batches AS b
    WHERE b.project_id = $1 AND b.batch_id = $2 FOR UPDATE`,
};

const FINISH = {
  name: 'write.finish',
  text: `
    UPDATE batches AS b SET object_count = b.object_count + $3::bigint, revision = $4::bigint, digest = $5::bytea
    WHERE b.project_id = $1 AND b.batch_id = $2 RETURNING ${BATCH_COLUMNS}`,
};

const EMPTY = {
  name: 'write.empty',
  text: `
    WITH gone AS (DELETE FROM objects WHERE project_id = $1 AND batch_id = $2 RETURNING ${ROLLUP_COLUMNS}),
    marked AS (${invalidateAllRollupsSql('gone')})
    UPDATE batches SET object_count = 0, rewritten = $3 WHERE project_id = $1 AND batch_id = $2`,
};

/** COPY cannot tell what it has added, so that is looked for in the batch. */
const MARK = {
  name: 'write.mark',
  text: invalidateRollupsSql(`(SELECT ${ROLLUP_COLUMNS} FROM objects WHERE project_id = $1 AND batch_id = $2)`),
};

const KEEP_DIGEST = {
  name: 'write.keep-digest',
  text: `UPDATE batches SET digest = $3 WHERE project_id = $1 AND batch_id = $2`,
};

const COPY_OBJECTS = `COPY objects (${NEW_OBJECT_COLUMNS}) FROM STDIN ${FORMAT}`;
const STAGED_COLUMNS = columnListSql(columns(ObjectEntity, 'object_id', 'seq', 'subject', 'observed_at', 'data'));
const COPY_STAGED = `COPY staged (place, ${STAGED_COLUMNS}) FROM STDIN ${FORMAT}`;

/** Of the connection, and empty in every transaction: making it costs each connection once. */
const STAGE = `
  CREATE TEMP TABLE IF NOT EXISTS staged (
    place bigint, object_id text COLLATE "C", seq bigint, subject text COLLATE "C", observed_at timestamptz, data jsonb
  ) ON COMMIT DELETE ROWS`;

/**
 * A digest of objects in their order. In slices, because an aggregate's value ends at 1 GB: 32 bytes of 33 million objects.
 * `observed_at` counts where it was given, as when the batch is read.
 */
function digestSql(objects: string): string {
  return `
    SELECT sha256(coalesce(string_agg(part, ''::bytea ORDER BY slice), ''::bytea)) AS digest FROM (
      SELECT slice, sha256(string_agg(digest, ''::bytea ORDER BY place)) AS part FROM (
        SELECT place, place / 65536 AS slice,
          sha256(convert_to(jsonb_build_array(object_id, subject, observed_at, data)::text, 'UTF8')) AS digest
        FROM (SELECT row_number() OVER (ORDER BY seq) AS place, * FROM (${objects}) AS o) AS placed
      ) AS digests GROUP BY slice
    ) AS parts`;
}

const DIGEST_STAGED = digestSql(`SELECT ${STAGED_COLUMNS} FROM staged`);
const DIGEST_STORED = digestSql(`
  SELECT seq, object_id, subject, nullif(observed_at, ${timeOfSeqSql('seq')}) AS observed_at, data
  FROM objects WHERE project_id = $1 AND batch_id = $2`);

/** Which objects of the project stand in the way of the staged ones. */
export type InTheWay = 'any' | 'of other batches' | 'none';

const CONDITIONS: Readonly<Record<InTheWay, string>> = {
  any: 'true',
  'of other batches': 'o.batch_id <> $2',
  none: 'false',
};

/** $3: whether objects of this very batch are earlier ones of the same stream. */
const conflictsSql = (inTheWay: InTheWay): string => `
  SELECT s.place, s.seq, s.object_id, o.batch_id <> $2 OR NOT $3::boolean AS exists
  FROM staged AS s JOIN objects AS o ON o.project_id = $1 AND o.object_id = s.object_id AND ${CONDITIONS[inTheWay]}
  UNION ALL
  SELECT place, seq, object_id, false FROM (
    SELECT place, seq, object_id, row_number() OVER (PARTITION BY object_id ORDER BY seq) AS nth FROM staged
  ) AS numbered WHERE nth > 1`;

const INSERT_STAGED = `
  INSERT INTO objects (${NEW_OBJECT_COLUMNS})
  SELECT $1::int, $2::text, object_id, seq, subject, coalesce(observed_at, ${timeOfSeqSql('seq')}), data
  FROM staged ORDER BY seq`;

export type LockedBatch = BatchRow & Pick<BatchEntity, 'digest'>;

/** An id that stands in the way: stored, or earlier in the same batch. */
export interface Conflict {
  place: string;
  object_id: string;
  exists: boolean;
  /** How many there are in all. */
  total: string;
}

/** The statements of one write of a batch, in its transaction; `project_id` and `batch_id` are the same in all. */
@Injectable()
export class BatchWriteStore {
  async prepare(tx: Queryable): Promise<void> {
    await tx.query(PREPARE);
  }

  /** False when there is such a batch. */
  async claim(tx: Queryable, projectId: number, batchId: string, seq: bigint): Promise<boolean> {
    return (await tx.query(CLAIM, [projectId, batchId, seq.toString()])).length > 0;
  }

  /** The batch, locked; null when it was deleted just now. */
  async lock(tx: Queryable, projectId: number, batchId: string): Promise<LockedBatch | null> {
    const [row] = await tx.query<LockedBatch>(LOCK, [projectId, batchId]);
    return row ?? null;
  }

  async finish(
    tx: Queryable,
    [projectId, batchId]: readonly [number, string],
    { added, revision, digest }: { added: number; revision: bigint; digest: Buffer | null },
  ): Promise<BatchRow> {
    const [row] = await tx.query<BatchRow>(FINISH, [projectId, batchId, added, revision.toString(), digest]);
    if (row === undefined) throw new Error('a batch vanished under its lock');
    return row;
  }

  /** For a batch that has got objects with subjects. */
  async mark(tx: Queryable, projectId: number, batchId: string): Promise<void> {
    await tx.query(MARK, [projectId, batchId]);
  }

  async empty(tx: Queryable, projectId: number, batchId: string, revision: bigint): Promise<void> {
    await tx.query(EMPTY, [projectId, batchId, revision.toString()]);
  }

  copyObjects(tx: Transaction): CopyIn {
    return tx.copyIn(COPY_OBJECTS);
  }

  async stage(tx: Queryable): Promise<void> {
    await tx.query(STAGE);
  }

  copyStaged(tx: Transaction): CopyIn {
    return tx.copyIn(COPY_STAGED);
  }

  async digestStaged(tx: Queryable): Promise<Buffer> {
    return digestOf(await tx.query(DIGEST_STAGED));
  }

  /** Makes the digest of what is stored, and keeps it. */
  async digestStored(tx: Queryable, projectId: number, batchId: string): Promise<Buffer> {
    const digest = digestOf(await tx.query(DIGEST_STORED, [projectId, batchId]));
    await tx.query(KEEP_DIGEST, [projectId, batchId, digest]);
    return digest;
  }

  /**
   * The first of the staged objects whose ids are taken.
   * @param ownAreEarlier whether objects of this very batch are earlier ones of the same stream
   */
  conflicts(
    tx: Queryable,
    [projectId, batchId]: readonly [number, string],
    inTheWay: InTheWay,
    ownAreEarlier = false,
  ): Promise<Conflict[]> {
    return tx.query<Conflict>(
      `SELECT place, object_id, bool_or(exists) AS exists, count(*) OVER () AS total
       FROM (${conflictsSql(inTheWay)}) AS c GROUP BY place, object_id ORDER BY place LIMIT $4`,
      [projectId, batchId, ownAreEarlier, ERRORS_LISTED_MAX],
    );
  }

  /** Takes them off the stage. */
  async dropConflicts(
    tx: Queryable,
    [projectId, batchId]: readonly [number, string],
    inTheWay: InTheWay,
  ): Promise<void> {
    const text = `DELETE FROM staged WHERE seq IN (SELECT seq FROM (${conflictsSql(inTheWay)}) AS c)`;
    await tx.query(text, [projectId, batchId, false]);
  }

  /**
   * A unique violation when one of the ids was taken meanwhile, unless those that exist are to stay.
   * @returns how many were added, and how many were to be
   */
  async insertStaged(
    tx: Queryable,
    projectId: number,
    batchId: string,
    skipExisting: boolean,
  ): Promise<{ added: number; kept: number }> {
    const onConflict = skipExisting ? 'ON CONFLICT (project_id, object_id) DO NOTHING' : '';
    const [row] = await tx.query<{ added: string; kept: string }>(
      `WITH added AS (${INSERT_STAGED} ${onConflict} RETURNING 1)
       SELECT count(*) AS added, (SELECT count(*) FROM staged) AS kept FROM added`,
      [projectId, batchId],
    );
    return { added: Number(row?.added), kept: Number(row?.kept) };
  }
}

function digestOf(rows: object[]): Buffer {
  return (rows[0] as { digest: Buffer }).digest;
}

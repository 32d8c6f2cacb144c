import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import {
  addObjectsSql,
  insertRow,
  invalidateRollupsSql,
  NEW_BATCH_COLUMNS,
  type NewObjectRow,
  type ObjectEntity,
  ROLLUP_COLUMNS,
} from '#store';

/** Where an object is that exists. */
export type Existing = Pick<ObjectEntity, 'object_id' | 'batch_id' | 'seq'>;

/**
 * New objects in their batch, which is made when it is missing: one statement, so one round trip and one commit. The
 * batch's lock comes first, as in every change. A unique violation when an object exists.
 */
const ADD = {
  name: 'feed.add',
  text: `
    WITH batch AS (
      INSERT INTO batches AS b (${NEW_BATCH_COLUMNS})
      VALUES ($1::int, $2::text, $3::bigint, $4::bigint, $3::bigint)
      ON CONFLICT (project_id, batch_id) DO UPDATE
        SET object_count = b.object_count + excluded.object_count, revision = excluded.revision, digest = NULL
      RETURNING batch_id
    ),
    ${addObjectsSql('batch')}`,
};

/** In one order, so that two that lock the same ones never wait for each other in a circle. */
const LOCK_BATCHES = `
  SELECT b.batch_id FROM batches AS b
  WHERE b.project_id = $1 AND (b.batch_id = $2 OR b.batch_id IN (
    SELECT o.batch_id FROM objects AS o WHERE o.project_id = $1 AND o.object_id = ANY ($3::text[])))
  ORDER BY b.batch_id FOR UPDATE`;

const EXISTING = `
  SELECT o.object_id, o.batch_id, o.seq FROM objects AS o WHERE o.project_id = $1 AND o.object_id = ANY ($2::text[])`;

const REPLACE = `
  WITH new AS (SELECT * FROM jsonb_to_recordset($2::jsonb) AS o (i text, s text, t timestamptz, d jsonb)),
  was AS (SELECT ${ROLLUP_COLUMNS} FROM objects WHERE project_id = $1 AND object_id IN (SELECT i FROM new)),
  changed AS (
    UPDATE objects AS e SET data = new.d, subject = new.s, observed_at = coalesce(new.t, e.observed_at)
    FROM new WHERE e.project_id = $1 AND e.object_id = new.i
    RETURNING e.project_id, e.subject, e.observed_at, e.measure
  )
  ${invalidateRollupsSql('(TABLE was UNION ALL TABLE changed)')}`;

const TOUCH = `
  UPDATE batches SET revision = $3, digest = NULL WHERE project_id = $1 AND batch_id = ANY ($2::text[])`;

/** Writes of objects one by one or some at a time, to batches that grow. */
@Injectable()
export class FeedWriteStore {
  constructor(private readonly database: Database) {}

  /** Adds objects to the batch, made when missing; a unique violation when one exists. */
  async add(
    target: readonly [projectId: number, batchId: string],
    seq: bigint,
    objects: readonly NewObjectRow[],
    on: Queryable = this.database,
  ): Promise<void> {
    await on.query(ADD, [...target, seq.toString(), objects.length, rowsOf(objects)]);
  }

  /** Locks the batch, where there is one, and those of the objects that exist. @returns their ids */
  async lock(
    tx: Queryable,
    target: readonly [projectId: number, batchId: string],
    objectIds: readonly string[],
  ): Promise<string[]> {
    const rows = await tx.query<{ batch_id: string }>(LOCK_BATCHES, [...target, objectIds]);
    return rows.map((row) => row.batch_id);
  }

  existing(tx: Queryable, projectId: number, objectIds: readonly string[]): Promise<Existing[]> {
    return tx.query<Existing>(EXISTING, [projectId, objectIds]);
  }

  /** Puts other content into objects that exist, under the lock of their batches. */
  async replace(
    tx: Queryable,
    projectId: number,
    revision: bigint,
    objects: readonly NewObjectRow[],
    batchIds: readonly string[],
  ): Promise<void> {
    await tx.query(REPLACE, [projectId, rowsOf(objects)]);
    await tx.query(TOUCH, [projectId, batchIds, revision.toString()]);
  }
}

function rowsOf(objects: readonly NewObjectRow[]): string {
  return `[${objects.map(insertRow).join()}]`;
}

import { Database, type Queryable } from '#database';
import { changedObjectsSql } from '#inverted-index';
import type { UsageChange } from '#usage';
import { Injectable } from '@nestjs/common';
import {
  type AddOptions,
  addObjectsSql,
  haveSubjects,
  insertRow,
  invalidateRollupsSql,
  NEW_BATCH_COLUMNS,
  type NewObjectRow,
  type ObjectEntity,
  recordChangedSql,
  ROLLUP_COLUMNS,
  sizeOf,
} from '#store';

type FeedTarget = readonly [projectId: number, batchId: string];

/** The location of an object that exists. */
export type Existing = Pick<ObjectEntity, 'object_id' | 'batch_id' | 'seq'>;

/**
 * Adds objects to their batch, which is created where it does not exist, in one round trip and one commit. As in every change,
 * the batch is locked first. A unique violation where an object exists.
 */
const addSql = (options: Omit<AddOptions, 'isBatch'>): string => `
    WITH batch AS (
      INSERT INTO batches AS b (${NEW_BATCH_COLUMNS})
      VALUES ($1::int, $2::text, $3::bigint, $4::bigint, $3::bigint)
      ON CONFLICT (project_id, batch_id) DO UPDATE
        SET object_count = b.object_count + excluded.object_count, revision = excluded.revision, digest = NULL
      RETURNING batch_id
    ),
    ${addObjectsSql('batch', { ...options, isBatch: false })}`;

const ADD = { name: 'feed.add', text: addSql({ addsUsage: true, hasSubjects: true }) };
const ADD_WITHOUT_SUBJECTS = {
  name: 'feed.add-without-subjects',
  text: addSql({ addsUsage: true, hasSubjects: false }),
};

/** In a transaction that adds them to the usage itself. */
const ADD_ONLY = { name: 'feed.add-only', text: addSql({ addsUsage: false, hasSubjects: true }) };

/** In the order of their ids, so that two transactions that lock the same batches never deadlock. */
const LOCK_BATCHES = `
  SELECT b.batch_id FROM batches AS b
  WHERE b.project_id = $1 AND (b.batch_id = $2 OR b.batch_id IN (
    SELECT o.batch_id FROM objects AS o WHERE o.project_id = $1 AND o.object_id = ANY ($3::text[])))
  ORDER BY b.batch_id FOR UPDATE`;

const EXISTING = `
  SELECT o.object_id, o.batch_id, o.seq FROM objects AS o WHERE o.project_id = $1 AND o.object_id = ANY ($2::text[])`;

const NEW = `SELECT * FROM jsonb_to_recordset($2::jsonb) AS o (i text, s text, t timestamptz, d jsonb, b int)`;

/** The ids of the objects whose stored content is another one; as text, because jsonb compares 1.0 and 1.00 as equal. */
const OTHERS = `
  SELECT new.i FROM new JOIN objects AS e ON e.project_id = $1 AND e.object_id = new.i
  WHERE (e.data::text, e.subject, e.observed_at) IS DISTINCT FROM (new.d::text, new.s, coalesce(new.t, e.observed_at))`;

const COMPARE = `WITH new AS (${NEW}) ${OTHERS}`;

const DIFFERING = '(SELECT c.* FROM changed AS c JOIN others ON others.i = c.object_id) AS differing';

const REPLACE = `
  WITH new AS (${NEW}),
  old_rows AS MATERIALIZED (SELECT ${ROLLUP_COLUMNS}, bytes FROM objects WHERE project_id = $1 AND object_id IN (SELECT i FROM new)),
  others AS MATERIALIZED (${OTHERS}),
  changed AS (
    UPDATE objects AS e SET data = new.d, bytes = new.b, subject = new.s, observed_at = coalesce(new.t, e.observed_at)
    FROM new WHERE e.project_id = $1 AND e.object_id = new.i
    RETURNING e.project_id, e.subject, e.observed_at, e.measure, e.bytes, e.seq, e.object_id, e.batch_id
  ),
  ${changedObjectsSql(DIFFERING)},
  recorded AS (${recordChangedSql(DIFFERING)}),
  invalidated AS (${invalidateRollupsSql('(TABLE old_rows UNION ALL SELECT project_id, subject, observed_at, measure, bytes FROM changed)')})
  SELECT (SELECT sum(bytes) FROM changed) - (SELECT sum(bytes) FROM old_rows) AS bytes_added,
    array(SELECT i FROM others) AS ids`;

const TOUCH = `
  UPDATE batches SET revision = $3, digest = NULL WHERE project_id = $1 AND batch_id = ANY ($2::text[])`;

/** New content of existing objects. */
interface Replacement {
  projectId: number;
  /** The batches of the objects, which get this revision. */
  batchIds: readonly string[];
  revision: bigint;
  objects: readonly NewObjectRow[];
}

/** The statements of writes to feeds: some objects at a time, into batches that grow. */
@Injectable()
export class FeedWriteStore {
  constructor(private readonly database: Database) {}

  /**
   * Adds objects to the batch, which is created where it does not exist, and to the usage of the project; a unique violation
   * where an object exists.
   */
  async add(target: FeedTarget, seq: bigint, objects: readonly NewObjectRow[]): Promise<void> {
    await this.database.query(haveSubjects(objects) ? ADD : ADD_WITHOUT_SUBJECTS, [
      ...target,
      seq.toString(),
      objects.length,
      rowsOf(objects),
    ]);
  }

  /** The same in a transaction. @returns what the transaction must add to the usage of the project */
  async addIn(tx: Queryable, target: FeedTarget, seq: bigint, objects: readonly NewObjectRow[]): Promise<UsageChange> {
    await tx.query(ADD_ONLY, [...target, seq.toString(), objects.length, rowsOf(objects)]);
    return sizeOf(objects);
  }

  /** Locks the batch and the batches of the existing objects. @returns their ids */
  async lock(tx: Queryable, target: FeedTarget, objectIds: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ batch_id: string }>(LOCK_BATCHES, [...target, objectIds]);
    return rows.map((row) => row.batch_id);
  }

  existing(tx: Queryable, projectId: number, objectIds: readonly string[]): Promise<Existing[]> {
    return tx.query<Existing>(EXISTING, [projectId, objectIds]);
  }

  /** Returns the ids of the objects that are stored with other content than this. */
  async findDifferent(tx: Queryable, projectId: number, objects: readonly NewObjectRow[]): Promise<Set<string>> {
    const rows = await tx.query<{ i: string }>(COMPARE, [projectId, rowsOf(objects)]);
    return new Set(rows.map((row) => row.i));
  }

  /**
   * Replaces the content of existing objects whose batches are locked.
   * @returns what the transaction must add to the usage of the project, and the ids of the objects that had other content
   */
  async replace(
    tx: Queryable,
    { projectId, batchIds, revision, objects }: Replacement,
  ): Promise<{ bytes: number; changedIds: Set<string> }> {
    const [row] = await tx.query<{ bytes_added: string; ids: string[] }>(REPLACE, [projectId, rowsOf(objects)]);
    await tx.query(TOUCH, [projectId, batchIds, revision.toString()]);
    return { bytes: Number(row?.bytes_added), changedIds: new Set(row?.ids) };
  }
}

function rowsOf(objects: readonly NewObjectRow[]): string {
  return `[${objects.map(insertRow).join()}]`;
}

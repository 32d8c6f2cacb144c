import { SEQ_STEP, timeOfSeqSql, type Queryable } from '#database';
import { ADD_PENDING, addPendingSql } from '#inverted-index';
import { addUsageSql, type UsageChange } from '#usage';
import { RECORD_ONE, recordCreatedSql } from './change-sql.js';
import { NEW_OBJECT_COLUMNS, OBJECT_COLUMNS, type ObjectRow } from './object-columns.js';
import { ROLLUP_COLUMNS, invalidateRollupsSql } from './rollup-invalidation.js';

/** A validated object, ready to be stored. */
export interface NewObjectRow {
  objectId: string;
  subject: string | null;
  /** RFC 3339; null for the time of arrival. */
  observedAt: string | null;
  /** A JSON list of pairs. */
  data: string;
}

/** What a statement that inserts objects does with them. */
export interface AddOptions {
  /** Whether the statement is a transaction of its own, which adds the objects to the usage of the project at its end. */
  addsUsage: boolean;
  /** Whether an object has a subject: others have no rollups. */
  hasSubjects: boolean;
  /** See `recordCreatedSql`. */
  isBatch: boolean;
}

/**
 * The last part of a statement that inserts objects, makes them pending in the index, records the change and invalidates the
 * rollups of their hours. Parameters: $1 the project, $2 the batch, $3 the first sequence number, $5 a JSON array of `insertRow`.
 * @param after a CTE of the same statement that must be evaluated first, so that its locks are taken first
 */
export function addObjectsSql(after: string, { addsUsage, hasSubjects, isBatch }: AddOptions): string {
  const [last, ...others] = [
    ...(addsUsage ? [addUsageSql('added')] : []),
    ...(hasSubjects ? [invalidateRollupsSql('added')] : []),
    recordCreatedSql('added', { isBatch }),
    addPendingSql('added'),
  ];
  return `added AS (
      INSERT INTO objects (${NEW_OBJECT_COLUMNS})
      SELECT $1::int, $2::text, o.i, s.seq, o.s, coalesce(o.t, ${timeOfSeqSql('s.seq')}), o.d, o.b
      FROM ${after}, ROWS FROM (
          jsonb_to_recordset($5::jsonb) AS (i text, s text, t timestamptz, d jsonb, b int)
        ) WITH ORDINALITY AS o (i, s, t, d, b, ordinal),
      LATERAL (SELECT $3::bigint + (o.ordinal - 1) * ${String(SEQ_STEP)} AS seq) AS s
      RETURNING ${ROLLUP_COLUMNS}, bytes, seq, batch_id
    )${others.map((statement, index) => `, other_${String(index)} AS (${statement})`).join('')}
    ${last}`;
}

/** Whether one of the objects has a subject. */
export function haveSubjects(objects: readonly Pick<NewObjectRow, 'subject'>[]): boolean {
  return objects.some(({ subject }) => subject !== null);
}

const INSERT_ONE = {
  name: 'object.insert-one',
  text: `
    INSERT INTO objects AS o (${NEW_OBJECT_COLUMNS})
    VALUES ($1::int, $2::text, $3::text, $4::bigint, $5::text,
      coalesce($6::timestamptz, ${timeOfSeqSql('$4::bigint')}), $7::jsonb, $8::int)
    RETURNING ${OBJECT_COLUMNS}`,
};

const INVALIDATE_ONE = {
  name: 'object.invalidate-one',
  text: invalidateRollupsSql(`(SELECT ${ROLLUP_COLUMNS} FROM objects WHERE project_id = $1 AND object_id = $2)`),
};

/**
 * Inserts one object in the transaction that adds it to its batch and to the usage of the project, in several short statements. On one
 * machine one statement does all of it; on a cluster that takes three times as long.
 */
export async function insertOneObject(
  tx: Queryable,
  { projectId, batchId, seq, isBatch }: { projectId: number; batchId: string; seq: string; isBatch: boolean },
  { objectId, subject, observedAt, data }: NewObjectRow,
): Promise<ObjectRow> {
  const values = [projectId, batchId, objectId, seq, subject, observedAt, data, dataBytes(data)];
  const [row] = await tx.query<ObjectRow>(INSERT_ONE, values);
  if (row === undefined) throw new Error('an INSERT returned no row');
  await tx.query(ADD_PENDING, [projectId, seq]);
  await tx.query(RECORD_ONE, [projectId, batchId, isBatch, seq]);
  if (subject !== null) await tx.query(INVALIDATE_ONE, [projectId, objectId]);
  return row;
}

/** One object in the JSON array that `addObjectsSql` reads. */
export function insertRow({ objectId, subject, observedAt, data }: NewObjectRow): string {
  const texts = `"i":${JSON.stringify(objectId)},"s":${JSON.stringify(subject)},"t":${JSON.stringify(observedAt)}`;
  return `{${texts},"b":${String(dataBytes(data))},"d":${data}}`;
}

/** The value of `objects.bytes` for a list of pairs. */
export function dataBytes(data: string): number {
  return Buffer.byteLength(data);
}

/** What objects add to the usage of their project. */
export function sizeOf(objects: readonly Pick<NewObjectRow, 'data'>[]): UsageChange {
  return { objects: objects.length, bytes: objects.reduce((sum, { data }) => sum + dataBytes(data), 0) };
}

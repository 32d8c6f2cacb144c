import { SEQ_STEP, timeOfSeqSql } from '#database';
import { addPendingSql } from '#inverted-index';
import { addUsageSql, type UsageChange } from '#usage';
import { recordCreatedSql } from './change-sql.js';
import { NEW_OBJECT_COLUMNS } from './object-columns.js';
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

/**
 * The last part of a statement that inserts objects, makes them pending in the index, records the change and invalidates the
 * rollups of their hours. Parameters: $1 the project, $2 the batch, $3 the first sequence number, $5 a JSON array of `insertRow`.
 * @param after a CTE of the same statement that must be evaluated first, so that its locks are taken first
 * @param options.addsUsage whether the statement is a transaction of its own, which adds the objects to the usage of the
 *   project at its end
 * @param options.isBatch see `recordCreatedSql`
 */
export function addObjectsSql(after: string, { addsUsage, isBatch }: { addsUsage: boolean; isBatch: boolean }): string {
  return `added AS (
      INSERT INTO objects (${NEW_OBJECT_COLUMNS})
      SELECT $1::int, $2::text, o.i, s.seq, o.s, coalesce(o.t, ${timeOfSeqSql('s.seq')}), o.d, o.b
      FROM ${after}, ROWS FROM (
          jsonb_to_recordset($5::jsonb) AS (i text, s text, t timestamptz, d jsonb, b int)
        ) WITH ORDINALITY AS o (i, s, t, d, b, ordinal),
      LATERAL (SELECT $3::bigint + (o.ordinal - 1) * ${String(SEQ_STEP)} AS seq) AS s
      RETURNING ${ROLLUP_COLUMNS}, bytes, seq, batch_id
    ),
    pending AS (${addPendingSql('added')}),
    recorded AS (${recordCreatedSql('added', { isBatch })})
    ${addsUsage ? `, usage AS (${addUsageSql('added', 1)})` : ''}
    ${invalidateRollupsSql('added')}`;
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

import { SEQ_STEP, timeOfSeqSql } from '#database';
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
 * The last part of a statement that inserts objects and invalidates the rollups of their hours. Parameters: $1 the project,
 * $2 the batch, $3 the first sequence number, $5 a JSON array of `insertRow`.
 * @param after a CTE of the same statement that must be evaluated first
 */
export function addObjectsSql(after?: string): string {
  return `added AS (
      INSERT INTO objects (${NEW_OBJECT_COLUMNS})
      SELECT $1::int, $2::text, o.i, s.seq, o.s, coalesce(o.t, ${timeOfSeqSql('s.seq')}), o.d
      FROM ${after === undefined ? '' : `${after}, `}ROWS FROM (
          jsonb_to_recordset($5::jsonb) AS (i text, s text, t timestamptz, d jsonb)
        ) WITH ORDINALITY AS o (i, s, t, d, ordinal),
      LATERAL (SELECT $3::bigint + (o.ordinal - 1) * ${String(SEQ_STEP)} AS seq) AS s
      RETURNING ${ROLLUP_COLUMNS}
    )
    ${invalidateRollupsSql('added')}`;
}

/** One object in the JSON array that `addObjectsSql` reads. */
export function insertRow({ objectId, subject, observedAt, data }: NewObjectRow): string {
  return `{"i":${JSON.stringify(objectId)},"s":${JSON.stringify(subject)},"t":${JSON.stringify(observedAt)},"d":${data}}`;
}

/**
 * The parts of statements that record which objects a transaction adds, changes or deletes, for `GET /objects/changes`. Every statement
 * that writes objects has one of them. See docs/decisions/039.
 */

/** The ids of one row, so that a row stays small whatever a statement changes. */
const IDS_OF_ROW = 1_000;

const COLUMNS =
  'project_id, wal_position, kind, batch_id, is_batch, first_seq, last_seq, object_ids, objects, changed_at';

/**
 * Evaluated after all objects of the statement are written, because it is above an aggregate of them: a transaction that has waited for one of
 * these objects reads a later position.
 */
const POSITION = 'pg_current_wal_insert_lsn()';

/**
 * Records new objects: one row for each batch, whatever their number.
 * @param added a CTE with `project_id`, `batch_id` and `seq`
 * @param options.isBatch whether the statement stores a batch, and not single objects of a batch that exists
 */
export function recordCreatedSql(added: string, { isBatch }: { isBatch: boolean }): string {
  return `
    INSERT INTO pending_changes (${COLUMNS})
    SELECT project_id, ${POSITION}, 'created', batch_id, ${String(isBatch)}, min(seq), max(seq), NULL, count(*), statement_timestamp()
    FROM ${added} GROUP BY project_id, batch_id`;
}

/** The same for one object: $1 the project, $2 the batch, $3 see `recordCreatedSql`, $4 the object. */
export const RECORD_ONE = {
  name: 'change.record-one',
  text: `
    INSERT INTO pending_changes (${COLUMNS})
    VALUES ($1, ${POSITION}, 'created', $2, $3, $4, $4, NULL, 1, statement_timestamp())`,
};

/**
 * The same for objects that earlier statements of the transaction have added: $1 the project, $2 the batch.
 * @param count of the objects; without any nothing is recorded
 */
export function recordCreatedRangeSql({ first, last, count }: { first: string; last: string; count: string }): string {
  return `
    INSERT INTO pending_changes (${COLUMNS})
    SELECT $1::int, ${POSITION}, 'created', $2::text, true, ${first}, ${last}, NULL, ${count}, statement_timestamp()
    WHERE ${count} > 0`;
}

/** Records objects that exist and were changed. @param changed a CTE or subquery with `project_id`, `batch_id` and `object_id` */
export function recordChangedSql(changed: string): string {
  return recordIdsSql('changed', changed);
}

/** Records deleted objects. @param deleted a CTE with `project_id`, `batch_id` and `object_id` */
export function recordDeletedSql(deleted: string): string {
  return recordIdsSql('deleted', deleted);
}

function recordIdsSql(kind: 'changed' | 'deleted', objects: string): string {
  return `
    INSERT INTO pending_changes (${COLUMNS})
    SELECT project_id, ${POSITION}, '${kind}', batch_id, false, NULL, NULL, array_agg(object_id), count(*), statement_timestamp()
    FROM (
      SELECT project_id, batch_id, object_id,
        (row_number() OVER (PARTITION BY project_id, batch_id) - 1) / ${String(IDS_OF_ROW)} AS part
      FROM ${objects}
    ) AS numbered
    GROUP BY project_id, batch_id, part`;
}

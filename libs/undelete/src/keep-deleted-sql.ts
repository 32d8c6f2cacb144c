import { NEW_OBJECT_COLUMNS, newObjectColumnsSql } from '#store';

export interface KeptDeletion {
  /** SQL of the id of the deletion, see `DeletionIds`; null keeps nothing. */
  id: string;
  /** SQL of the id and the numbers of a batch that is deleted too. */
  batch?: { id: string; seq: string; replacedSeq: string };
  /** SQL of the id of a single object. */
  objectId?: string;
}

/**
 * A CTE that copies objects in the statement that deletes them, so that they can be restored. Without `RETURNING data`, which would keep
 * the data of all of them in memory or in a temporary file. It comes before the DELETE: a cluster evaluates one after the other. The
 * objects must be locked by their batches.
 * @param where the condition of the DELETE, on `objects AS o`; $1 is the project
 * @param id see `KeptDeletion`
 */
export function keepObjectsSql(where: string, id: string): string {
  return `
    kept AS (
      INSERT INTO deleted_objects (deletion_id, ${NEW_OBJECT_COLUMNS})
      SELECT ${id}::bigint, ${newObjectColumnsSql('o')} FROM objects AS o
      WHERE ${id}::bigint IS NOT NULL AND o.project_id = $1 AND ${where}
    )`;
}

/** A CTE that describes what `keepObjectsSql` keeps. @param deleted the CTE of the DELETE */
export function keepDeletedSql(deleted: string, { id, batch, objectId = 'NULL' }: KeptDeletion): string {
  const { id: batchId, seq: batchSeq, replacedSeq } = batch ?? { id: 'NULL', seq: 'NULL', replacedSeq: 'NULL' };
  return `
    deletion AS (
      INSERT INTO deletions (project_id, deletion_id, batch_id, batch_seq, batch_replaced_seq, object_id, object_count, is_counted)
      SELECT $1::int, ${id}::bigint, ${batchId}::text, ${batchSeq}::bigint, ${replacedSeq}::bigint, ${objectId}::text, count(*), true FROM ${deleted}
      HAVING ${id}::bigint IS NOT NULL AND (count(*) > 0 OR ${batchSeq}::bigint IS NOT NULL)
    )`;
}

/**
 * Rows of `project_usage` for each project. A transaction changes the row of its connection, so that concurrent transactions of
 * a project seldom wait for each other, and a sum reads at most this number of rows.
 */
export const USAGE_SHARDS = 32;

/** The row of this connection. */
export const SHARD = `pg_backend_pid() % ${String(USAGE_SHARDS)}`;

/**
 * A violation of a CHECK where the row would exceed its share. What becomes less does not become free for the row: the project
 * may be over its limit. The rows of a project with a limit all exist, so a new row needs no share.
 */
const ADD_TO_ROW = `
  ON CONFLICT (project_id, shard) DO UPDATE SET
    objects = u.objects + excluded.objects, objects_share = u.objects_share + least(excluded.objects, 0),
    bytes = u.bytes + excluded.bytes, bytes_share = u.bytes_share + least(excluded.bytes, 0),
    deleted_bytes = u.deleted_bytes + excluded.deleted_bytes`;

/** What the row of a deleted object and its entries in indexes take beside its data. */
const DELETED_ROW_BYTES = 200;

/** The space of deleted objects. @param objects the alias of their rows */
export const deletedBytesSql = (objects: string): string =>
  `sum(${objects}.bytes::bigint + ${String(DELETED_ROW_BYTES)})`;

/** Adds $2 objects and $3 bytes to the usage of the project $1. */
export const ADD_USAGE = `
  INSERT INTO project_usage AS u (project_id, shard, objects, bytes)
  VALUES ($1::int, ${SHARD}, $2::bigint, $3::bigint) ${ADD_TO_ROW}`;

/**
 * The same, also beyond the limits of the project: the share of the row grows with it, so that what other rows may still use stays the
 * same.
 */
export const ADD_USAGE_UNLIMITED = `
  INSERT INTO project_usage AS u (project_id, shard, objects, bytes)
  VALUES ($1::int, ${SHARD}, $2::bigint, $3::bigint)
  ON CONFLICT (project_id, shard) DO UPDATE SET
    objects = u.objects + excluded.objects, objects_share = u.objects_share + excluded.objects,
    bytes = u.bytes + excluded.bytes, bytes_share = u.bytes_share + excluded.bytes`;

/**
 * The same as ADD_USAGE as a part of a statement that adds objects. It locks the row of the usage after the objects, because it
 * reads all of them first.
 * @param objects a CTE of the same statement, with `project_id` and `bytes` of the objects
 */
export function addUsageSql(objects: string): string {
  return `
    INSERT INTO project_usage AS u (project_id, shard, objects, bytes)
    SELECT o.project_id, ${SHARD}, count(*), sum(o.bytes) FROM ${objects} AS o
    GROUP BY o.project_id ${ADD_TO_ROW}`;
}

/**
 * The same for objects that the statement deletes.
 * @param deletionId SQL of the deletion that keeps them; null where nothing keeps them
 */
export function subtractUsageSql(deleted: string, deletionId: string): string {
  return `
    INSERT INTO project_usage AS u (project_id, shard, objects, bytes, deleted_bytes)
    SELECT o.project_id, ${SHARD}, -count(*), -sum(o.bytes),
      coalesce(${deletedBytesSql('o')} FILTER (WHERE ${deletionId}::bigint IS NOT NULL), 0)
    FROM ${deleted} AS o GROUP BY o.project_id ${ADD_TO_ROW}`;
}

/** The number of objects of the project $1, as an expression. */
export const OBJECT_COUNT = `(SELECT coalesce(sum(u.objects), 0) FROM project_usage AS u WHERE u.project_id = $1)`;

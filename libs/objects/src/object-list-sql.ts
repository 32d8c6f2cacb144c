import { filterSql, type Filter } from '#filter';
import { isAscending, keysetConditionSql, type ListSql } from '#database';
import type { PageRequest } from '#http';
import { OBJECT_COLUMNS, OBJECT_FILTER_COLUMNS } from '#store';

/**
 * The objects with the sequence numbers of $2. OFFSET 0 keeps the planner from using the GIN index for a filter on them; they are
 * few.
 */
export const BY_SEQ = `(SELECT * FROM objects WHERE project_id = $1 AND seq = ANY ($2::bigint[]) OFFSET 0) AS o`;

/** The objects of a project that a filter matches, newest first. */
export function objectListSql(projectId: number, filter: Filter): ListSql {
  const values: unknown[] = [projectId];
  const where = `o.project_id = $1 AND ${filterSql(filter, OBJECT_FILTER_COLUMNS, values)}`;
  return { select: OBJECT_COLUMNS, from: 'objects AS o', where, seq: 'o.seq', values };
}

/** The filter over a limited number of objects: the newest, or with a page the first ones from its position on. */
export function newestObjectsSql(
  projectId: number,
  filter: Filter,
  rows: number,
  page?: PageRequest,
): Omit<ListSql, 'select' | 'seq'> {
  const values: unknown[] = [projectId];
  const beyond = page === undefined ? '' : keysetConditionSql(page.position, { seq: 'seq' }, values);
  const order = page !== undefined && isAscending(page.position) ? 'ASC' : 'DESC';
  const from = `(SELECT * FROM objects WHERE project_id = $1${beyond} ORDER BY seq ${order} LIMIT ${String(rows)}) AS o`;
  return { from, where: filterSql(filter, OBJECT_FILTER_COLUMNS, values), values };
}

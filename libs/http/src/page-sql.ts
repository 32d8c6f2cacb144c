import type { Queryable } from '#database';
import { isLastPage, refuseCursor, type Count, type PageRequest, type PagePosition, type Slice } from './paging.js';

/** A list in SQL: the rows that fulfil a condition, newest first by `seq`, or by a time and then by `seq`. */
export interface ListSql {
  /** The columns of a row; with `seq`, and in a list ordered by time with that time as `at`. */
  select: string;
  from: string;
  where: string;
  /** The column that orders the list. */
  seq: string;
  /** The column that orders the list before `seq`; an index must have both. */
  time?: string;
  values: readonly unknown[];
  /** Wraps the SQL of a page; must keep the order of its rows. */
  around?: (rows: string) => string;
}

/** Whether the rows are read by ascending `seq`: backwards in a list newest first, or forwards in a list oldest first. */
export function isAscending(position: PagePosition): boolean {
  return position.kind !== 'offset' && (position.kind === 'before') !== position.oldestFirst;
}

/** The condition of the rows beyond a position; empty for an offset and for the last page. @throws Problem invalid-cursor for a position in a list of another order */
export function keysetConditionSql(
  position: PagePosition,
  { seq, time }: Pick<ListSql, 'seq' | 'time'>,
  values: unknown[],
): string {
  if (position.kind === 'offset' || isLastPage(position)) return '';
  const beyond = isAscending(position) ? '>' : '<';
  const bySeq = `$${String(values.push(position.seq))}::bigint`;
  if ((time === undefined) !== (position.at === undefined)) refuseCursor('is not one of this list');
  if (time === undefined) return ` AND ${seq} ${beyond} ${bySeq}`;
  return ` AND (${time}, ${seq}) ${beyond} ($${String(values.push(position.at))}::timestamptz, ${bySeq})`;
}

/** The rows of one page in the direction of reading, and one more row to know whether another page follows. */
export function pageSql(list: ListSql, position: PagePosition, size: number): { text: string; values: unknown[] } {
  const values = [...list.values];
  const beyond = keysetConditionSql(position, list, values);
  const order = isAscending(position) ? 'ASC' : 'DESC';
  const limit = `LIMIT $${String(values.push(size + 1))}::bigint`;
  const offset =
    position.kind === 'offset' && position.offset > 0 ? ` OFFSET $${String(values.push(position.offset))}::bigint` : '';
  const byTime = list.time === undefined ? '' : `${list.time} ${order}, `;
  const text =
    `SELECT ${list.select} FROM ${list.from} WHERE ${list.where}${beyond} ` +
    `ORDER BY ${byTime}${list.seq} ${order} ${limit}${offset}`;
  return { text: list.around?.(text) ?? text, values };
}

/** The rows that `pageSql` read as a page in the order of the list. */
export function toSlice<Row>(rows: Row[], position: PagePosition, size: number): Slice<Row> {
  const more = rows.length > size;
  const items = rows.slice(0, size);
  if (position.kind === 'before') return { items: items.reverse(), hasNext: !isLastPage(position), hasPrevious: more };
  return { items, hasNext: more, hasPrevious: position.kind !== 'offset' || position.offset > 0 };
}

export async function readSlice<Row extends { seq: string; at?: string }>(
  on: Queryable,
  list: ListSql,
  page: PageRequest,
): Promise<Slice<Row>> {
  const { text, values } = pageSql(list, page.position, page.size);
  return toSlice(await on.query<Row>(text, values), page.position, page.size);
}

/** Counts a list. Counting takes 2 to 4 ms for 1,000 matches, so the default stops at the cap. */
export async function countRows(on: Queryable, list: ListSql, mode: PageRequest['count'], cap: number): Promise<Count> {
  const { from, where, values } = list;
  switch (mode) {
    case 'none':
      return { count: null };
    // Lists that are too long to be counted estimate in their own store.
    case 'estimated':
    case 'exact': {
      const [row] = await on.query<{ count: string }>(`SELECT count(*) FROM ${from} WHERE ${where}`, values);
      return { count: Number(row?.count), count_is: 'exact' };
    }
    case 'capped': {
      // The materialized CTE hides the LIMIT from the planner, which would otherwise scan the table, expecting to find
      // enough matches early.
      const limited =
        `WITH found AS MATERIALIZED (SELECT FROM ${from} WHERE ${where}) ` +
        `SELECT count(*) FROM (SELECT FROM found LIMIT ${String(cap + 1)}) AS counted`;
      const [row] = await on.query<{ count: string }>(limited, values);
      return cappedCount(Number(row?.count), cap);
    }
  }
}

export function cappedCount(found: number, cap: number): Count {
  return found > cap ? { count: cap, count_is: 'at_least' } : { count: found, count_is: 'exact' };
}

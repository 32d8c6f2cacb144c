import type { Queryable } from '#database';
import { isLastPage, refuseCursor, type Count, type PageRequest, type PagePosition, type Slice } from './paging.js';

/** A list in SQL: rows of a table that fulfil a condition, newest first by their `seq`, or by a time and then by it. */
export interface ListSql {
  /** What a row has; must give `seq`, and in a list ordered by time also that, as `at`. */
  select: string;
  from: string;
  where: string;
  /** The column that orders the list. */
  seq: string;
  /** The column of the time that orders the list first; an index has to have both. */
  time?: string;
  values: readonly unknown[];
  /** SQL around that of a page's rows, which it gives in the same order. */
  around?: (rows: string) => string;
}

/** Whether the rows come by rising `seq`: read backwards in a newest-first list, or forwards in an oldest-first one. */
export function isAscending(place: PagePosition): boolean {
  return place.kind !== 'offset' && (place.kind === 'before') !== place.oldestFirst;
}

/** The condition that a row lies beyond the place, or nothing. @throws Problem invalid-cursor for a place in a list of another order */
export function keysetConditionSql(
  place: PagePosition,
  { seq, time }: Pick<ListSql, 'seq' | 'time'>,
  values: unknown[],
): string {
  if (place.kind === 'offset' || isLastPage(place)) return '';
  const beyond = isAscending(place) ? '>' : '<';
  const bySeq = `$${String(values.push(place.seq))}::bigint`;
  if ((time === undefined) !== (place.at === undefined)) refuseCursor('is not one of this list');
  if (time === undefined) return ` AND ${seq} ${beyond} ${bySeq}`;
  return ` AND (${time}, ${seq}) ${beyond} ($${String(values.push(place.at))}::timestamptz, ${bySeq})`;
}

/** The rows of one page, one more to know whether another follows, in the direction the page is read. */
export function pageSql(list: ListSql, place: PagePosition, size: number): { text: string; values: unknown[] } {
  const values = [...list.values];
  const beyond = keysetConditionSql(place, list, values);
  const order = isAscending(place) ? 'ASC' : 'DESC';
  const limit = `LIMIT $${String(values.push(size + 1))}::bigint`;
  const offset =
    place.kind === 'offset' && place.offset > 0 ? ` OFFSET $${String(values.push(place.offset))}::bigint` : '';
  const byTime = list.time === undefined ? '' : `${list.time} ${order}, `;
  const text =
    `SELECT ${list.select} FROM ${list.from} WHERE ${list.where}${beyond} ` +
    `ORDER BY ${byTime}${list.seq} ${order} ${limit}${offset}`;
  return { text: list.around?.(text) ?? text, values };
}

/** Turns what `sliceSql` read into a page in the list's order. */
export function toSlice<Row>(rows: Row[], place: PagePosition, size: number): Slice<Row> {
  const more = rows.length > size;
  const items = rows.slice(0, size);
  if (place.kind === 'before') return { items: items.reverse(), hasNext: !isLastPage(place), hasPrevious: more };
  return { items, hasNext: more, hasPrevious: place.kind !== 'offset' || place.offset > 0 };
}

export async function readSlice<Row extends { seq: string; at?: string }>(
  on: Queryable,
  list: ListSql,
  page: PageRequest,
): Promise<Slice<Row>> {
  const { text, values } = pageSql(list, page.position, page.size);
  return toSlice(await on.query<Row>(text, values), page.position, page.size);
}

/** Counts a list as the page asks. Counting costs 2 to 4 ms per 1,000 matches, so unasked it stops at the cap. */
export async function countRows(on: Queryable, list: ListSql, mode: PageRequest['count'], cap: number): Promise<Count> {
  const { from, where, values } = list;
  switch (mode) {
    case 'none':
      return { count: null };
    // A list that is too long to be counted has an estimate of its own.
    case 'estimated':
    case 'exact': {
      const [row] = await on.query<{ count: string }>(`SELECT count(*) FROM ${from} WHERE ${where}`, values);
      return { count: Number(row?.count), count_is: 'exact' };
    }
    case 'capped': {
      // Behind the fence the planner plans for all matches, though only some are read: told of the limit, it would scan
      // the table in the hope to meet enough of them early.
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

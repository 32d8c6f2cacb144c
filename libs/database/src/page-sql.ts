import type { Queryable, Statement } from './queryable.js';
import type { PageTrace } from './page-trace.js';
import { QueryTimeoutError } from './query-scope.js';

/** A position next to a row, in a list newest first or, with `oldestFirst`, oldest first. */
export interface CursorPosition {
  kind: 'after' | 'before';
  seq: string;
  oldestFirst: boolean;
  /** The values of the row by which the list is sorted before `seq`, in a sorted list. */
  keys?: readonly string[] | undefined;
}

/** Where a page starts: next to a row, or at an offset from the start. */
export type PagePosition = CursorPosition | { kind: 'offset'; offset: number; oldestFirst?: boolean };

/** The rows that a page requests: `size` of them from the position. */
export interface PageRange {
  position: PagePosition;
  size: number;
}

/** The rows of one page, and whether the list has more on either side. */
export interface Slice<T> {
  items: T[];
  hasNext: boolean;
  hasPrevious: boolean;
}

/** How to count a list; `capped` is exact up to a cap. */
export type CountMode = 'exact' | 'estimated' | 'none' | 'capped';

/** A requested page of a list that is counted. */
export interface CountedRange extends PageRange {
  count: CountMode;
  /** Runs the queries of the page, so that they end with the request. Default: the database. */
  on?: Queryable | undefined;
  /** Runs the queries of the count, which are cancelled when they take too long. Default: the database. */
  countOn?: Queryable | undefined;
  /** Records how the page is read. Default: nothing is recorded. */
  trace?: PageTrace | undefined;
}

/**
 * The number of rows of a list and its accuracy; null for the mode `none`. `count_reason` is present where the count was
 * cancelled because it took too long.
 */
export type Count =
  { count: number; count_is: 'exact' | 'at_least' | 'estimated'; count_reason?: string } | { count: null };

/** No row has this sequence number: the page before it is the last one of a list newest first. */
export const LAST_PAGE_SEQ = '0';

export function isLastPage(position: PagePosition): boolean {
  return position.kind === 'before' && position.seq === LAST_PAGE_SEQ && position.keys === undefined;
}

/** A column that sorts a list, with its type in PostgreSQL. */
export interface SortColumn {
  sql: string;
  type: 'text' | 'timestamptz' | 'int' | 'numeric';
}

/** A list in SQL: the rows that match a condition, by `seq`, or by other columns and then by `seq`. */
export interface ListSql {
  /** The columns of a row, with `seq`. */
  select: string;
  from: string;
  where: string;
  /** The column that orders the list. */
  seq: string;
  /** The columns that sort the list before `seq`; an index should have all of them. Default: none. */
  sort?: readonly SortColumn[];
  values: readonly unknown[];
  /** Wraps the SQL of a page in another SELECT, which must keep the order of its rows. */
  wrap?: (rows: string) => string;
  /**
   * The name of the prepared statements of small pages, for a list whose best plan does not depend on its values. All lists of
   * this name must have the same text, `wrap` included.
   */
  name?: string;
  /** See `Statement`, for a list without a name. */
  preparedFor?: number;
}

/**
 * The rows of a small page, with the one that detects another page. Only small pages are prepared: planning takes 0.2 ms, which
 * is most of the time of a page of 10 and a small part of a page of 1,000.
 */
const SMALL_PAGE_ROWS = 101;

/** Whether the rows are read by ascending `seq`: backwards in a list newest first, or forwards in a list oldest first. */
export function isAscending(position: PagePosition): boolean {
  return (position.kind === 'before') !== (position.oldestFirst ?? false);
}

/**
 * The condition of the rows beyond a position; empty for an offset and for the last page.
 * @param values receives the values of the condition's parameters
 */
export function keysetConditionSql(
  position: PagePosition,
  { seq, sort = [] }: Pick<ListSql, 'seq' | 'sort'>,
  values: unknown[],
): string {
  if (position.kind === 'offset' || isLastPage(position)) return '';
  const beyond = isAscending(position) ? '>' : '<';
  const bySeq = `$${String(values.push(position.seq))}::bigint`;
  if (sort.length === 0) return ` AND ${seq} ${beyond} ${bySeq}`;
  const keys = sort.map(({ type }, i) => `$${String(values.push(position.keys?.[i]))}::${type}`);
  return ` AND (${[...sort.map(({ sql }) => sql), seq].join(', ')}) ${beyond} (${[...keys, bySeq].join(', ')})`;
}

/** The texts of prepared statements by their names: their few kilobytes would be built and compared for each page. */
const preparedTexts = new Map<string, string>();

/** The rows of one page in the direction of reading, and one more row to detect whether another page follows. */
export function pageSql(list: ListSql, { position, size }: PageRange): Statement & { values: unknown[] } {
  const values = [...list.values];
  const beyond = keysetConditionSql(position, list, values);
  const limit = `LIMIT $${String(values.push(size + 1))}::bigint`;
  const order = isAscending(position) ? 'ASC' : 'DESC';
  const rowsSql = (): string => {
    const columns = [...(list.sort ?? []).map(({ sql }) => sql), list.seq].map((column) => `${column} ${order}`);
    return `SELECT ${list.select} FROM ${list.from} WHERE ${list.where}${beyond} ORDER BY ${columns.join(', ')}`;
  };
  const wrap = list.wrap ?? ((text: string): string => text);
  if (position.kind === 'offset' && position.offset > 0) {
    const offset = `OFFSET $${String(values.push(position.offset))}::bigint`;
    return { text: wrap(`${rowsSql()} ${limit} ${offset}`), values };
  }
  if (list.name === undefined || size >= SMALL_PAGE_ROWS) return { text: wrap(`${rowsSql()} ${limit}`), values };
  const name = `${list.name}.${beyond === '' ? 'end' : 'beyond'}.${order}`;
  let text = preparedTexts.get(name);
  if (text === undefined) {
    // PostgreSQL keeps the plan of a prepared statement only where it costs no more than planning again. It expects that a
    // parameter limits the rows to a tenth of all, so a constant limit makes all of them few.
    text = wrap(`SELECT * FROM (${rowsSql()} LIMIT ${String(SMALL_PAGE_ROWS)}) AS small ${limit}`);
    preparedTexts.set(name, text);
  }
  return { name, text, values };
}

/** Converts the rows of `pageSql` to a page in the order of the list. */
export function toSlice<Row>(rows: Row[], { position, size }: PageRange): Slice<Row> {
  const more = rows.length > size;
  const items = rows.slice(0, size);
  if (position.kind === 'before') return { items: items.reverse(), hasNext: !isLastPage(position), hasPrevious: more };
  return { items, hasNext: more, hasPrevious: position.kind !== 'offset' || position.offset > 0 };
}

/** Reads one page of a list. */
export async function readSlice<Row extends { seq: string }>(
  on: Queryable,
  list: ListSql,
  range: PageRange,
): Promise<Slice<Row>> {
  const { values, ...statement } = pageSql(list, range);
  const { preparedFor } = list;
  return toSlice(await on.query<Row>({ ...statement, preparedFor }, values), range);
}

/** Reads one page of a list, then counts the list. */
export async function readPage<Row extends { seq: string }>(
  database: Queryable,
  list: ListSql,
  page: CountedRange,
  cap: number,
): Promise<{ slice: Slice<Row>; count: Count }> {
  const slice = await readSlice<Row>(page.on ?? database, list, page);
  const counting = countRows(page.countOn ?? database, list, page.count, cap);
  return { slice, count: await countOrMinimum(counting, countShownBy(page.position, slice)) };
}

/**
 * The result of a count, or a lower bound where it was cancelled because it took too long: the page is complete without it.
 * @param minimum rows that the list is known to have
 */
export async function countOrMinimum(counting: Promise<Count>, minimum: number): Promise<Count> {
  try {
    return await counting;
  } catch (error) {
    if (!(error instanceof QueryTimeoutError)) throw error;
    const count_reason =
      `Counting took longer than ${String(error.timeoutMs / 1000)} s and was cancelled. Use a narrower filter, or allow ` +
      'more seconds with Prefer: wait=N, up to query_timeout_ms of /api/v1/limits.';
    return { count: minimum, count_is: 'at_least', count_reason };
  }
}

/**
 * The number of rows that reading a page has shown: its own, those before a page with a number, and the row beyond it. The row
 * that a cursor names is not counted, because it may have been deleted.
 */
export function countShownBy(
  position: PagePosition,
  { items, hasNext, hasPrevious }: Pick<Slice<unknown>, 'items' | 'hasNext' | 'hasPrevious'>,
): number {
  if (position.kind === 'offset') return items.length === 0 ? 0 : position.offset + items.length + Number(hasNext);
  return items.length + Number(position.kind === 'after' ? hasNext : hasPrevious);
}

/** Counts a list. Counting takes 2 to 4 ms for 1,000 matches, so the default stops at the cap. */
export async function countRows(on: Queryable, list: ListSql, mode: CountMode, cap: number): Promise<Count> {
  const { from, where, values } = list;
  switch (mode) {
    case 'none':
      return { count: null };
    // Lists that are too long to count have an estimate in their own store.
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

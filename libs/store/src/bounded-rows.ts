import type { PagePosition, Slice } from '#database';
import { Problem, type PageRequest } from '#http';

/** The data that is read without a reservation; most pages have less. */
const UNRESERVED_BYTES = 1024 ** 2;
/** A page with more data is read again within this many times the memory, so that at most a third is read twice. */
const GROWTH = 4;

/** A row; `data` is null where the rows before it reach the limit. */
export type WithoutData<Row extends { data: string }> = Omit<Row, 'data'> & { data: string | null };

/**
 * SQL that limits the data of `rows` to about `bytesMax`, because a page is built in memory and an object may have megabytes. The
 * rows keep their order. First it adds up the stored size, which PostgreSQL knows without reading the data; then the size of the
 * text, which may be much longer because of compression and of numbers with exponents. OFFSET 0 keeps the planner from
 * generating each text twice.
 */
export function boundedRowsSql(columns: string, rows: string, bytesMax: number): string {
  const before = 'OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before';
  const most = String(bytesMax);
  return `
    SELECT ${columns}, CASE WHEN coalesce(before, 0) < ${most} THEN data END AS data FROM (
      SELECT *, sum(octet_length(data)) ${before} FROM (
        SELECT ${columns}, CASE WHEN coalesce(before, 0) < ${most} THEN data::text END AS data FROM (
          SELECT *, sum(pg_column_size(data)) ${before} FROM (${rows}) AS listed
        ) AS stored OFFSET 0
      ) AS written
    ) AS summed`;
}

/**
 * Reads a page within `bytesMax`, and reserves memory for a large one before it is read: PostgreSQL knows the size of a page only
 * when it has read it, and ten pages of 57 MB at a time took 1.9 GB before their responses were counted.
 * @param read reads the page by `boundedRowsSql` with the given limit
 * @throws Problem unavailable if there is no room
 */
export async function readWithMemory<Row extends { data: string | null }>(
  { reserve }: Pick<PageRequest, 'reserve'>,
  bytesMax: number,
  read: (bytesMax: number) => Promise<Slice<Row>>,
): Promise<Slice<Row>> {
  let most = Math.min(UNRESERVED_BYTES, bytesMax);
  let slice = await read(most);
  while (most < bytesMax && slice.items.some(({ data }) => data === null)) {
    most = Math.min(most * GROWTH, bytesMax);
    reserve?.(most);
    slice = await read(most);
  }
  return slice;
}

/** The rows up to the limit of bytes; at least one unless there are none. */
export function rowsWithData<Row extends { data: string }>(rows: readonly WithoutData<Row>[]): Row[] {
  const end = rows.findIndex(({ data }) => data === null);
  return rows.slice(0, end === -1 ? rows.length : end) as unknown as Row[];
}

/**
 * A page within the limit of bytes. A page by cursor may end early, and its neighbours continue from there. A numbered page
 * must be complete, because a client that counts pages would miss the objects that were cut off.
 * @throws Problem invalid-query for a numbered page that exceeds the limit
 */
export function boundedSlice<Row extends { data: string }>(
  slice: Slice<WithoutData<Row>>,
  position: PagePosition,
  bytesMax: number,
  mayBeShort = position.kind !== 'offset',
): Slice<Row> {
  if (mayBeShort) return cutShort(slice, position);
  const { items, ...sides } = slice;
  const all = rowsWithData(items);
  if (all.length === items.length) return { items: all, ...sides };
  const detail = `requests objects with more than ${String(bytesMax)} bytes in all (PAGE_BYTES_MAX); use a smaller page_size`;
  throw new Problem('invalid-query', { detail: `page_size ${detail}.`, errors: [{ parameter: 'page_size', detail }] });
}

function cutShort<Row extends { data: string }>(
  { items, ...sides }: Slice<WithoutData<Row>>,
  position: PagePosition,
): Slice<Row> {
  const isBackwards = position.kind === 'before';
  const some = rowsWithData(isBackwards ? items.toReversed() : items);
  const isCut = some.length < items.length;
  return {
    items: isBackwards ? some.reverse() : some,
    hasNext: sides.hasNext || (isCut && !isBackwards),
    hasPrevious: sides.hasPrevious || (isCut && isBackwards),
  };
}

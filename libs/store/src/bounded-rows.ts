import { Problem, type PagePosition, type Slice } from '#http';

/** A row whose data was left out because those before it hold enough. */
export type WithoutData<Row extends { data: string }> = Omit<Row, 'data'> & { data: string | null };

/**
 * Pages are made in memory, and a thousand objects may be of megabytes each: so what they hold is bounded. SQL around that of
 * rows, in the same order. First by what the rows take in the table, which is told without reading them; then by their text, which may be
 * much longer: compressed it was, or a number with an exponent. OFFSET 0 keeps the planner from writing each text twice.
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

/** The first of the rows, as many as came with their data; of one or more always one. */
export function rowsWithData<Row extends { data: string }>(rows: readonly WithoutData<Row>[]): Row[] {
  const end = rows.findIndex(({ data }) => data === null);
  return rows.slice(0, end === -1 ? rows.length : end) as unknown as Row[];
}

/**
 * A page of rows that may be light: one that has a number whole, for who counts pages would miss what was cut off; any other
 * cut short, the rest of it being on those beside it.
 * @throws Problem invalid-query for a page with a number that is too much to be held
 */
export function boundedSlice<Row extends { data: string }>(
  slice: Slice<WithoutData<Row>>,
  place: PagePosition,
  bytesMax: number,
  mayBeShort = place.kind !== 'offset',
): Slice<Row> {
  if (mayBeShort) return cutShort(slice, place);
  const { items, ...sides } = slice;
  const all = rowsWithData(items);
  if (all.length === items.length) return { items: all, ...sides };
  const detail = `asks for objects of more than ${String(bytesMax)} bytes together (PAGE_BYTES_MAX); ask for fewer`;
  throw new Problem('invalid-query', { detail: `page_size ${detail}.`, errors: [{ parameter: 'page_size', detail }] });
}

function cutShort<Row extends { data: string }>(
  { items, ...sides }: Slice<WithoutData<Row>>,
  place: PagePosition,
): Slice<Row> {
  const isBackwards = place.kind === 'before';
  const some = rowsWithData(isBackwards ? items.toReversed() : items);
  const isCut = some.length < items.length;
  return {
    items: isBackwards ? some.reverse() : some,
    hasNext: sides.hasNext || (isCut && !isBackwards),
    hasPrevious: sides.hasPrevious || (isCut && isBackwards),
  };
}

import { Problem, type Place, type Slice } from '#platform';

/** Of compressed JSON the size is not known before it is read: five to eight times as much is usual. */
const COMPRESSION = 8;
/** Where it was more than that; JavaScript has no text of 512 Mi characters. */
const TEXT_LENGTH_MAX = 256 * 1024 * 1024;

/** A row whose data was left out because those before it hold enough. */
export type Light<Row extends { data: string }> = Omit<Row, 'data'> & { data: string | null };

/**
 * Pages are made in memory, and a thousand objects may be of megabytes each: so what they hold is bounded.
 * SQL around that of rows with `columns` and `data`, in the same order. What those before a row hold is told from the sizes in the
 * table, which cost 0.1 µs each and not the reading of the values.
 */
export function lightSql(columns: string, rows: string, bytesMax: number): string {
  return `
    SELECT ${columns}, CASE WHEN coalesce(before, 0) < ${String(bytesMax)} THEN data END AS data FROM (
      SELECT *, sum(pg_column_size(data) * CASE WHEN pg_column_compression(data) IS NULL THEN 1 ELSE ${String(COMPRESSION)} END)
        OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM (${rows}) AS listed
    ) AS summed`;
}

/** The first of the rows, as many as are to be held together; of one or more always one. */
export function held<Row extends { data: string }>(rows: readonly Light<Row>[]): Row[] {
  let length = 0;
  const end = rows.findIndex(
    ({ data }, place) => data === null || ((length += data.length) > TEXT_LENGTH_MAX && place > 0),
  );
  return rows.slice(0, end === -1 ? rows.length : end) as unknown as Row[];
}

/** @throws Problem invalid-query for a page that is too much to be held */
export function whole<Row extends { data: string }>(
  { items, ...sides }: Slice<Light<Row>>,
  bytesMax: number,
): Slice<Row> {
  const all = held(items);
  if (all.length === items.length) return { items: all, ...sides };
  const detail = `asks for objects of more than ${String(bytesMax)} bytes together (PAGE_BYTES_MAX); ask for fewer`;
  throw new Problem('invalid-query', { detail: `page_size ${detail}.`, errors: [{ parameter: 'page_size', detail }] });
}

/** As much of a page as is to be held; the rest is on those beside it. Not of a page that has a number. */
export function cutShort<Row extends { data: string }>(
  { items, ...sides }: Slice<Light<Row>>,
  place: Place,
): Slice<Row> {
  const isBackwards = place.kind === 'before';
  const some = held(isBackwards ? items.toReversed() : items);
  const isCut = some.length < items.length;
  return {
    items: isBackwards ? some.reverse() : some,
    hasNext: sides.hasNext || (isCut && !isBackwards),
    hasPrevious: sides.hasPrevious || (isCut && isBackwards),
  };
}

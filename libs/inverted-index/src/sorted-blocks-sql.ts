import type { SortedRequest } from './lookup.js';
import { TermKind } from './term-kind.js';

/** The column of the values of the kind at which sorted blocks start; null where the kind has none. */
export function valueColumnOf({ from }: SortedRequest): 'last_number' | 'last_text' | null {
  if (from?.kind === TermKind.number) return 'last_number';
  return from?.kind === TermKind.text ? 'last_text' : null;
}

/** The bytes of sorted blocks of one statement, divided among its segments. A block of long texts has 128 KB, of numbers less than 1 KB. */
const SORTED_BYTES_MAX = 8 * 1024 ** 2;
const SORTED_BYTES_OF_SEGMENT = `${String(SORTED_BYTES_MAX)} / (SELECT greatest(count(number), 1) FROM matching)`;

/**
 * The blocks of a segment `s` in the order of the request `r`, the first ones with their bodies. A block with a value is the first one
 * whose last value is not lower.
 */
export function sortedBlocksSql(request: SortedRequest): string {
  const { isAscending, from, limit } = request;
  const column = valueColumnOf(request);
  const direction = isAscending ? 'ASC' : 'DESC';
  const blocks = (where: string, order: string = direction, count = limit): string => {
    const inOrder = `ORDER BY kind ${order}, last_number ${order}, last_text ${order}`;
    return `
      (SELECT kind, posting_count, CASE WHEN coalesce(before, 0) < ${SORTED_BYTES_OF_SEGMENT} THEN body END AS body
      FROM (
        SELECT *, sum(octet_length(body)) OVER (${inOrder} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM (
          SELECT * FROM index_blocks AS b
          WHERE b.project_id = $1 AND b.segment = s.number AND b.path = r.path AND ${where} ${inOrder} LIMIT ${String(count)}
        ) AS first
      ) AS sized)`;
  };
  const all = `b.kind BETWEEN ${String(TermKind.false)} AND ${String(TermKind.long)}`;
  if (from === null) return blocks(all);
  const others = blocks(`${all} AND b.kind ${isAscending ? '>' : '<'} ${String(from.kind)}`);
  const ofKind = `b.kind = ${String(from.kind)}`;
  if (column === null) return `${blocks(ofKind)} UNION ALL ${others}`;
  const ofValues = `${ofKind}${column === 'last_text' ? ' AND b.last_number IS NULL' : ''} AND b.${column}`;
  const parts = isAscending
    ? [blocks(`${ofValues} >= r.value`)]
    : [blocks(`${ofValues} >= r.value`, 'ASC', 1), blocks(`${ofValues} < r.value`)];
  return [...parts, others].join(' UNION ALL ');
}

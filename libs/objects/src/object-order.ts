import type { SortColumn } from '#database';
import { sortValueSql, type SortKey } from '#inverted-index';
import type { DataSort, ObjectSort, SortColumnName } from './object-sort.js';

/** The columns of each order, before `seq`; an index has them. */
export const ORDER_COLUMNS: Readonly<Record<SortColumnName, readonly SortColumn[]>> = {
  object_id: [{ sql: 'o.object_id', type: 'text' }],
  batch_id: [{ sql: 'o.batch_id', type: 'text' }],
  observed_at: [{ sql: 'o.observed_at', type: 'timestamptz' }],
  subject: [
    { sql: 'o.subject', type: 'text' },
    { sql: 'o.observed_at', type: 'timestamptz' },
  ],
};

/** The order of objects by their sort values `v`, before `seq`. A value has either a number or a text, or neither. */
export const VALUE_COLUMNS: readonly SortColumn[] = [
  { sql: 'v.kind', type: 'int' },
  { sql: 'coalesce(v.number, 0)', type: 'numeric' },
  { sql: "coalesce(v.text, '')", type: 'text' },
];

export function sortKeyOf({ key, isAscending }: DataSort): SortKey {
  return { key, place: isAscending ? 'lowest' : 'highest' };
}

/** How a statement sorts `objects AS o`. */
export interface OrderSql {
  /** Follows the table in FROM. */
  join: string;
  orderBy: string;
}

/**
 * The order of all objects of a list, of which those without a value to sort by come last, in the order of their arrival.
 * @param sort null for the order of arrival, oldest first
 * @param values receives the values of the parameters
 */
export function wholeOrderSql(sort: ObjectSort | null, values: unknown[]): OrderSql {
  if (sort === null) return { join: '', orderBy: 'o.seq' };
  const direction = sort.isAscending ? 'ASC' : 'DESC';
  if (sort.kind === 'data') {
    const join = `LEFT JOIN LATERAL (${sortValueSql(sortKeyOf(sort), values)}) AS v ON TRUE`;
    const columns = [...VALUE_COLUMNS.map(({ sql }) => sql), 'o.seq'];
    return { join, orderBy: columns.map((column) => `${column} ${direction} NULLS LAST`).join(', ') };
  }
  if (sort.column === 'subject') {
    const time = `CASE WHEN o.subject IS NOT NULL THEN o.observed_at END`;
    return { join: '', orderBy: `o.subject ${direction} NULLS LAST, ${time} ${direction}, o.seq ${direction}` };
  }
  // Without NULLS LAST, an index has these columns in both directions.
  const columns = [...ORDER_COLUMNS[sort.column].map(({ sql }) => sql), 'o.seq'];
  return { join: '', orderBy: columns.map((column) => `${column} ${direction}`).join(', ') };
}

import { FlagParameter, type InputPlace, type ListOrder, rejectInput, TextField } from '#http';
import { ObjectListQuery, parseDataKey } from './object-view.js';

const SORT_COLUMNS = ['object_id', 'batch_id', 'subject', 'observed_at'] as const;

export type SortColumnName = (typeof SORT_COLUMNS)[number];

/** The order of a list of objects: by a column, or by the values of a key of `data`. */
export type ObjectSort = { isAscending: boolean } & (
  { kind: 'column'; column: SortColumnName } | { kind: 'data'; key: string }
);

/** A list of objects that may be sorted and explained. */
export class SortedObjectsQuery extends ObjectListQuery {
  @TextField({
    optional: true,
    min: 1,
    max: 2_000,
    description:
      'The order: `object_id`, `batch_id`, `subject`, `observed_at` or `data.<key>`, descending with `-` before it. Of values under a key, booleans come before numbers, and numbers before text, by code point; objects without such a value come last. Default: newest first. The page /filters has the details.',
    example: '-observed_at',
  })
  sort?: string;

  @FlagParameter({
    description: 'Adds `explain` to the page: how it was found and counted, with its cost. For the role admin.',
    example: false,
  })
  explain?: boolean;
}

/** Null for the default order. @throws Problem invalid-query or invalid-body */
export function sortOf({ sort }: Pick<SortedObjectsQuery, 'sort'>, place: InputPlace = 'query'): ObjectSort | null {
  if (sort === undefined) return null;
  const isAscending = !sort.startsWith('-');
  const name = isAscending ? sort : sort.slice(1);
  if (/^data\.[^"].*,/s.test(name)) {
    rejectInput(place, 'sort', 'must have one name; a key with a comma is written as a JSON string: data."a,b"');
  }
  if (name.startsWith('data.')) return { kind: 'data', key: parseDataKey(name, 'sort', place), isAscending };
  const column = SORT_COLUMNS.find((known) => known === name);
  if (column === undefined) {
    const detail = `must be one of ${SORT_COLUMNS.join(', ')} or data.<key>, with - before it for descending order`;
    rejectInput(place, 'sort', detail);
  }
  return { kind: 'column', column, isAscending };
}

/** The sort keys of cursors. */
export function listOrderOf(sort: ObjectSort): ListOrder {
  const { isAscending } = sort;
  if (sort.kind === 'data') return { isAscending, keys: ['json'], hasMissing: true };
  switch (sort.column) {
    case 'object_id':
    case 'batch_id':
      return { isAscending, keys: ['text'] };
    case 'observed_at':
      return { isAscending, keys: ['time'] };
    case 'subject':
      return { isAscending, keys: ['text', 'time'], hasMissing: true };
  }
}

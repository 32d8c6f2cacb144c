import { type EncryptedKeyList, encryptionError } from '#filter';
import { FlagParameter, type InputPlace, type ListOrder, rejectInput, TextField } from '#http';
import { IntersectionType } from '@nestjs/swagger';
import { ObjectListQuery, parseDataKey } from './object-view.js';

const SORT_COLUMNS = ['object_id', 'batch_id', 'subject', 'observed_at'] as const;

export type SortColumnName = (typeof SORT_COLUMNS)[number];

interface ColumnSort {
  kind: 'column';
  column: SortColumnName;
  isAscending: boolean;
}

/** By the values of a key of `data`. */
export interface DataSort {
  kind: 'data';
  key: string;
  isAscending: boolean;
}

/** The order of a list of objects. */
export type ObjectSort = ColumnSort | DataSort;

export class ObjectSortQuery {
  @TextField({
    optional: true,
    min: 1,
    max: 2_000,
    description:
      'The order: `object_id`, `batch_id`, `subject`, `observed_at` or `data.<key>`, descending with `-` before it. Of values under a key, booleans come before numbers, and numbers before text, by code point; objects without such a value come last. Default: the order of arrival, newest first in lists, oldest first in exports. The page /filters has the details.',
    example: '-observed_at',
  })
  sort?: string;
}

/** A list of objects that may be sorted and explained. */
export class SortedObjectsQuery extends IntersectionType(ObjectListQuery, ObjectSortQuery) {
  @FlagParameter({
    description: 'Adds `explain` to the page: how it was found and counted, with its cost. For the role admin.',
    example: false,
  })
  explain?: boolean;
}

/** Null for the default order. @param encrypted the encrypted keys of the project @throws Problem invalid-query or invalid-body */
export function sortOf(
  { sort }: ObjectSortQuery,
  encrypted: EncryptedKeyList,
  place: InputPlace = 'query',
): ObjectSort | null {
  if (sort === undefined) return null;
  const isAscending = !sort.startsWith('-');
  const name = isAscending ? sort : sort.slice(1);
  if (/^data\.[^"].*,/s.test(name)) {
    rejectInput(place, 'sort', 'must have one name; a key with a comma is written as a JSON string: data."a,b"');
  }
  if (name.startsWith('data.')) {
    const key = parseDataKey(name, 'sort', place);
    const refusal = encryptionError(encrypted, { key, isLiteral: false });
    if (refusal !== null) rejectInput(place, 'sort', refusal);
    return { kind: 'data', key, isAscending };
  }
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
  if (sort.kind === 'data') return { isAscending, keys: ['value'], hasMissing: true };
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

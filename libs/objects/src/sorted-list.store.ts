import { allOf, type Filter, type ValueTest } from '#filter';
import { isLastPage, LAST_PAGE_SEQ, type Slice } from '#database';
import { type PageRequest, rejectInput } from '#http';
import { indexQuery } from '#inverted-index';
import { Config } from '#platform';
import { boundedSlice, OBJECT_FILTER_COLUMNS, type ObjectRow, type WithoutData } from '#store';
import { Injectable } from '@nestjs/common';
import { ObjectCountStore } from './object-count.store.js';
import { type ObjectPage, ObjectListStore } from './object-list.store.js';
import { listOrderOf, type ObjectSort } from './object-sort.js';
import { ObjectSortStore, type SortedRow } from './object-sort.store.js';

/** A row of a sorted list; without keys where the object has no value to sort by. */
type KeyedRow = WithoutData<ObjectRow> & { keys?: readonly string[] };

/** Numbered pages of a sorted list end here: the objects of all pages before them are sorted too. */
const SORTED_OFFSET_MAX = 10_000;

/**
 * Pages of sorted objects. The list has two parts: the objects with a value to sort by, in its order, and then the others in the order of
 * their arrival, which are newest first in a descending list.
 */
@Injectable()
export class SortedListStore {
  constructor(
    private readonly sorted: ObjectSortStore,
    private readonly lists: ObjectListStore,
    private readonly counts: ObjectCountStore,
    private readonly config: Config,
  ) {}

  /** @throws Problem invalid-query or invalid-body for a page that is too far or too large */
  async page(projectId: number, filter: Filter, sort: ObjectSort, page: PageRequest): Promise<ObjectPage> {
    const { position, size } = page;
    if (position.kind === 'offset' && position.offset + size > SORTED_OFFSET_MAX) {
      const detail = `must be within the first ${String(SORTED_OFFSET_MAX)} objects of a sorted list; follow next, or use a narrower filter`;
      const parameter = position.offset === 0 ? 'page_size' : 'page';
      rejectInput(page.linkBase === null ? 'body' : 'query', parameter, detail);
    }
    const slice =
      position.kind === 'before'
        ? await this.before(projectId, filter, sort, page)
        : await this.after(projectId, filter, sort, page);
    const query = indexQuery(filter, OBJECT_FILTER_COLUMNS) ?? undefined;
    const count = await this.counts.count(projectId, filter, { page, slice, query });
    const { pageBytesMax } = this.config.limits;
    return { slice: boundedSlice(withinBytes(slice, position, pageBytesMax), position, pageBytesMax), count };
  }

  /** A page read from its first object. */
  private async after(
    projectId: number,
    filter: Filter,
    sort: ObjectSort,
    page: PageRequest,
  ): Promise<Slice<KeyedRow>> {
    const { position, size, on, trace } = page;
    const offset = position.kind === 'offset' ? position.offset : 0;
    const isPastValues = position.kind === 'after' && position.keys === undefined;
    const needed = offset + size + 1;
    const found = isPastValues
      ? []
      : await this.sorted.find(projectId, filter, sort, {
          position: position.kind === 'offset' ? { ...position, offset: 0 } : position,
          count: needed,
          on,
          trace,
        });
    const items = await this.rowsOf(projectId, filter, found.slice(offset, offset + size), page);
    const hasPrevious = position.kind !== 'offset' || offset > 0;
    const missing = missingValue(sort);
    if (found.length >= needed || missing === null) return { items, hasNext: found.length >= needed, hasPrevious };

    const start = isPastValues
      ? position
      : { kind: 'offset' as const, offset: Math.max(offset - found.length, 0), oldestFirst: sort.isAscending };
    const rest = { position: start, size: size - Math.max(found.length - offset, 0) };
    const others = await this.withoutValue(projectId, allOf([filter, missing]), page, rest);
    return { items: [...items, ...others.items], hasNext: others.hasNext, hasPrevious };
  }

  /** A page read backwards, from its last object. */
  private async before(
    projectId: number,
    filter: Filter,
    sort: ObjectSort,
    page: PageRequest,
  ): Promise<Slice<KeyedRow>> {
    const { position, size, on, trace } = page;
    if (position.kind !== 'before') throw new Error('not a page before a position');
    const end = { kind: 'before', seq: LAST_PAGE_SEQ, oldestFirst: sort.isAscending } as const;
    const missing = position.keys === undefined ? missingValue(sort) : null;
    const others =
      missing === null
        ? { items: [], hasPrevious: false }
        : await this.withoutValue(projectId, allOf([filter, missing]), page, { position, size });
    const hasNext = !isLastPage(position);
    if (others.hasPrevious) return { items: others.items, hasNext, hasPrevious: true };

    const count = size - others.items.length;
    const start = position.keys === undefined ? end : position;
    const found = await this.sorted.find(projectId, filter, sort, { position: start, count: count + 1, on, trace });
    const items = await this.rowsOf(projectId, filter, found.slice(0, count).reverse(), page);
    return { items: [...items, ...others.items], hasNext, hasPrevious: found.length > count };
  }

  private async withoutValue(
    projectId: number,
    filter: Filter,
    page: PageRequest,
    range: Pick<PageRequest, 'position' | 'size'>,
  ): Promise<Slice<KeyedRow>> {
    return (await this.lists.unboundedPage(projectId, filter, { ...page, ...range, count: 'none' })).slice;
  }

  private async rowsOf(
    projectId: number,
    filter: Filter,
    found: readonly SortedRow[],
    page: PageRequest,
  ): Promise<KeyedRow[]> {
    const keys = new Map(found.map((row) => [row.seq, row.keys]));
    const rows = await this.lists.listed(projectId, filter, [...keys.keys()], page);
    return rows.map((row) => ({ ...row, keys: keys.get(row.seq) ?? [] }));
  }
}

/** The page without the data beyond the limit: each of its two parts is within it, but not both together. */
function withinBytes(slice: Slice<KeyedRow>, { kind }: PageRequest['position'], bytesMax: number): Slice<KeyedRow> {
  let bytes = 0;
  const bounded = (row: KeyedRow): KeyedRow => {
    const isWithin = bytes < bytesMax;
    bytes += row.data?.length ?? 0;
    return isWithin ? row : { ...row, data: null };
  };
  const items = kind === 'before' ? slice.items.toReversed().map(bounded).reverse() : slice.items.map(bounded);
  return { ...slice, items };
}

/** The objects that have no value to sort by; null where all have one. */
function missingValue(sort: ObjectSort): Filter | null {
  if (listOrderOf(sort).hasMissing !== true) return null;
  if (sort.kind === 'column') return { kind: 'not', of: { kind: 'subject_prefix', prefix: '' } };
  const { key } = sort;
  return {
    kind: 'not',
    of: { kind: 'or', of: SORTABLE.map((test) => ({ kind: 'value', key, isLiteral: false, test })) },
  };
}

/** Booleans, numbers and text. */
const SORTABLE: readonly ValueTest[] = [
  { op: 'in', values: ['false', 'true'] },
  { op: 'lt', value: '0' },
  { op: 'gte', value: '0' },
  { op: 'gte', value: '""' },
];

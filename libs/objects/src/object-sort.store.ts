import { conjunctsOf, filterSql, isEverything, type Filter } from '#filter';
import {
  Database,
  isAscending,
  type PageTrace,
  pageSql,
  type ListSql,
  type PagePosition,
  type Queryable,
} from '#database';
import {
  compareSortValues,
  indexQuery,
  isAtPlace,
  notUsable,
  parseSortKey,
  SortedSearch,
  sortValueOf,
  sortValueSql,
  sortValueKey,
  type SortedObject,
  type SortKey,
  type SortValueRow,
  TermKind,
} from '#inverted-index';
import { Injectable } from '@nestjs/common';
import { OBJECT_FILTER_COLUMNS } from '#store';
import { ObjectIndexStore } from './object-index.store.js';
import { BY_SEQ } from './object-list-sql.js';
import { ORDER_COLUMNS, sortKeyOf, VALUE_COLUMNS } from './object-order.js';
import type { ObjectSort, SortColumnName } from './object-sort.js';
import { SearchSize } from './search-size.js';

/** An object of a sorted list, with its keys in cursors. */
export interface SortedRow {
  seq: string;
  keys: readonly string[];
}

/** Objects that are wanted of a list. */
export interface WantedRows {
  /** In which direction they are read. */
  position: PagePosition;
  /** From the start in that direction, or from the position of a cursor. */
  count: number;
  on?: Queryable | undefined;
  trace?: PageTrace | undefined;
}

/** So few matches are sorted by reading the objects, which takes some 5 µs for each. */
const FEW_MATCHES = 2_000;
/** The rows of an index on a column that are compared with a filter before all matches are sorted. */
const SCAN_ROWS = 10_000;

/** Finds the objects of a sorted list that have a value to sort by. */
@Injectable()
export class ObjectSortStore {
  constructor(
    private readonly database: Database,
    private readonly search: SortedSearch,
    private readonly index: ObjectIndexStore,
  ) {}

  /** The first objects beyond the position, in the direction of reading. */
  async find(projectId: number, filter: Filter, sort: ObjectSort, wanted: WantedRows): Promise<SortedRow[]> {
    if (sort.kind === 'column') return this.byColumn(projectId, filter, sort.column, wanted);
    const key = sortKeyOf(sort);
    // The objects of one batch or subject are read by a btree.
    const isSmall = conjunctsOf(filter).some(({ kind }) => kind === 'batch' || kind === 'subject');
    const found = isSmall ? null : await this.byIndex(projectId, filter, key, wanted);
    return found ?? this.byValue(projectId, filter, key, wanted);
  }

  private async byColumn(
    projectId: number,
    filter: Filter,
    column: SortColumnName,
    wanted: WantedRows,
  ): Promise<SortedRow[]> {
    const { position, count, on = this.database, trace } = wanted;
    const sort = ORDER_COLUMNS[column];
    const select = ['o.seq', ...sort.map(({ sql }) => sql)].join(', ');
    const hasValue = column === 'subject' ? ' AND o.subject IS NOT NULL' : '';
    const read = async (list: Pick<ListSql, 'from' | 'where' | 'values'>): Promise<SortedRow[]> => {
      const sql = pageSql({ ...list, select, seq: 'o.seq', sort }, { position, size: count - 1 });
      const rows = await on.query<Record<string, string>>(sql.text, sql.values);
      return rows.map(({ seq = '', ...keys }) => ({ seq, keys: Object.values(keys) }));
    };
    const where = (values: unknown[]): string =>
      `o.project_id = $1${hasValue} AND ${filterSql(filter, OBJECT_FILTER_COLUMNS, values)}`;
    const all: unknown[] = [projectId];
    const everything = { from: 'objects AS o', where: where(all), values: all };
    if (isEverything(filter) || isOfBatch(filter)) {
      trace?.add('column_index', { column });
      return read(everything);
    }
    const few = await this.index.findSome(projectId, filter, FEW_MATCHES + 1, on, trace);
    if (few !== null && few.length <= FEW_MATCHES) {
      const values: unknown[] = [projectId, few];
      trace?.add('sort_matches', { matches: few.length });
      return read({ from: BY_SEQ, where: where(values), values });
    }
    if (isOrdered(filter, column)) {
      trace?.add('column_index', { column });
      return read(everything);
    }
    const first: unknown[] = [projectId];
    const scanned = pageSql(
      { select: 'o.*', from: 'objects AS o', where: `o.project_id = $1${hasValue}`, seq: 'o.seq', sort, values: first },
      { position, size: SCAN_ROWS },
    );
    const rows = await read({ from: `(${scanned.text}) AS o`, where: where(scanned.values), values: scanned.values });
    trace?.add('column_index', { column, objects_max: SCAN_ROWS, found: rows.length });
    if (rows.length >= count) return rows;
    trace?.add('sort_matches');
    // The matches are collected first, so that PostgreSQL does not scan the index of the columns to its end.
    const values: unknown[] = [projectId];
    const matches = `(WITH found AS MATERIALIZED (SELECT ${select} FROM objects AS o WHERE ${where(values)}) SELECT * FROM found) AS o`;
    return read({ from: matches, where: 'TRUE', values });
  }

  /** By the blocks of the inverted index; null where it does not find them quickly. */
  private async byIndex(
    projectId: number,
    filter: Filter,
    key: SortKey,
    wanted: WantedRows,
  ): Promise<SortedRow[] | null> {
    const { position, count, on, trace } = wanted;
    const query = indexQuery(filter, OBJECT_FILTER_COLUMNS);
    const isDecided = query !== null || isEverything(filter);
    const rows: SortedObject[] = [];
    let beyond = objectAt(position);
    const searchSize = new SearchSize(count);
    while (!searchSize.isUsedUp) {
      const order = { key, isAscending: isAscending(position), beyond };
      const range = { ...order, wanted: searchSize.wanted, few: FEW_MATCHES, trace };
      const found = await this.search.find(projectId, query, range, on);
      if (found === null) return null;
      if ('few' in found) return this.byValue(projectId, filter, key, wanted, found.few.map(String));
      trace?.add('sorted_blocks', { found: found.objects.length, is_exact: found.isExact });
      let objects = found.objects;
      if (!(found.isExact && isDecided)) objects = await this.matching(projectId, filter, objects, on);
      if (!isAtPlace(range)) objects = await this.atTheirPlace(projectId, objects, key, on);
      rows.push(...objects);
      if (found.isAll || rows.length >= count) {
        return rows.slice(0, count).map(({ seq, value }) => ({ seq: seq.toString(), keys: [sortValueKey(value)] }));
      }
      beyond = found.objects.at(-1) ?? beyond;
      searchSize.grow(found.objects.length);
    }
    trace?.add('sorted_blocks', notUsable('many_uncertain'));
    return null;
  }

  private async matching(
    projectId: number,
    filter: Filter,
    objects: readonly SortedObject[],
    on?: Queryable,
  ): Promise<SortedObject[]> {
    const seqs = objects.map(({ seq }) => seq);
    const matching = new Set(await this.index.matching(projectId, filter, seqs, on));
    return objects.filter(({ seq }) => matching.has(seq));
  }

  /** Without objects that were found by another of their values than the one that decides their place. */
  private async atTheirPlace(
    projectId: number,
    objects: readonly SortedObject[],
    key: SortKey,
    on?: Queryable,
  ): Promise<SortedObject[]> {
    const seqs = objects.map(({ seq }) => seq);
    const places = new Map(
      (await this.search.valuesOf(projectId, seqs, key, on)).map(({ seq, value }) => [seq, value]),
    );
    return objects.filter(({ seq, value }) => {
      const place = places.get(seq);
      return place !== undefined && compareSortValues(place, value) === 0;
    });
  }

  /**
   * By reading the values of the matches.
   * @param seqs of all matches; null where they are not known
   */
  private async byValue(
    projectId: number,
    filter: Filter,
    key: SortKey,
    { position, count, on = this.database, trace }: WantedRows,
    seqs: string[] | null = null,
  ): Promise<SortedRow[]> {
    trace?.add('sort_matches', seqs === null ? {} : { matches: seqs.length });
    const values: unknown[] = seqs === null ? [projectId] : [projectId, seqs];
    const from = seqs === null ? 'objects AS o' : BY_SEQ;
    const where = filterSql(filter, OBJECT_FILTER_COLUMNS, values);
    const list: ListSql = {
      select: 'o.seq, v.kind, v.number, v.text',
      from: `${from}, LATERAL (${sortValueSql(key, values)}) AS v`,
      where: `o.project_id = $1 AND ${where}`,
      seq: 'o.seq',
      sort: VALUE_COLUMNS,
      values,
    };
    const sql = pageSql(list, { position: positionInValues(position), size: count - 1 });
    const rows = await on.query<SortValueRow & { seq: string }>(sql.text, sql.values);
    return rows.map((row) => ({ seq: row.seq, keys: [sortValueKey(sortValueOf(row))] }));
  }
}

/** The position of a cursor with a key for each of `VALUE_COLUMNS`. */
function positionInValues(position: PagePosition): PagePosition {
  const at = objectAt(position);
  if (at === null || position.kind === 'offset') return position;
  const { kind, value } = at.value;
  const keys = [String(kind), kind === TermKind.number ? value : '0', kind === TermKind.text ? value : ''];
  return { ...position, keys };
}

/** The object that a cursor names; null for the start or the end of the list. */
function objectAt(position: PagePosition): SortedObject | null {
  if (position.kind === 'offset' || position.keys === undefined) return null;
  return { seq: BigInt(position.seq), value: parseSortKey(position.keys[0] ?? '') };
}

/** Whether the index of the column, or of subjects, has the objects of a condition in the order of the column. */
function isOrdered(filter: Filter, column: SortColumnName): boolean {
  return conjunctsOf(filter).some(({ kind }) => {
    if (kind === 'observed') return column === 'observed_at';
    if (kind === 'subject') return column === 'observed_at' || column === 'subject';
    return kind === 'subject_prefix' && column === 'subject';
  });
}

/** Whether a filter names a batch, whose objects an index finds. */
function isOfBatch(filter: Filter): boolean {
  return conjunctsOf(filter).some((part) => part.kind === 'batch');
}

import { conjunctsOf, filterSql, isEverything, type Filter } from '#filter';
import { indexQuery, type IndexQuery, notUsable } from '#inverted-index';
import type { PageRequest } from '#http';
import { Config } from '#platform';
import {
  Database,
  cappedCount,
  isAscending,
  isLastPage,
  pageSql,
  readSlice,
  toSlice,
  type Count,
  type ListSql,
  type Slice,
} from '#database';
import { OBJECT_COUNT } from '#usage';
import { Injectable } from '@nestjs/common';
import {
  boundedRowsSql,
  boundedSlice,
  COLUMNS_WITHOUT_DATA,
  OBJECT_COLUMNS,
  OBJECT_FILTER_COLUMNS,
  readWithMemory,
  type ObjectRow,
  type WithoutData,
} from '#store';
import { ObjectCountStore } from './object-count.store.js';
import { isScanExpectedToFill, ListSearches } from './list-searches.js';
import { isOnePair, ObjectIndexStore } from './object-index.store.js';
import { BY_SEQ, newestObjectsSql, objectListSql } from './object-list-sql.js';

/** A page of objects and the number of all matches. */
export interface ObjectPage {
  slice: Slice<ObjectRow>;
  count: Count;
}

/** A page before its size in bytes is limited. */
export interface UnboundedPage {
  slice: Slice<WithoutData<ObjectRow>>;
  count: Count;
}

/**
 * The newest objects that a filtered page scans before it uses the GIN index. At 1 M objects the scan costs 0.6 µs an object
 * and the index 1 µs a match. A scan of 2,000 fills a page of 10 with a pair that one object in 200 has. A rarer pair has so
 * few matches that the index is quick, and the scan before it costs at most 1.2 ms.
 */
const SCAN_ROWS = 2_000;
/** The most matches that one query of the index returns: enough for the default count and for most pages. */
const INDEX_ROWS = 1_000;

const FIRST_PAGE = { kind: 'offset', offset: 0 } as const;

/**
 * Pages of objects. Their time is bounded by the page and the number of matches, not by the table. The planner alone would
 * scan the table in order for every pair that it estimates as common, which at 1 M objects takes 600 ms when all matches are
 * the oldest objects. So a scan here is limited, and the GIN index finds the matches beyond it.
 */
@Injectable()
export class ObjectListStore {
  /** By the fingerprints of lists and how they are counted. */
  private readonly searches = new ListSearches();

  constructor(
    private readonly database: Database,
    private readonly counts: ObjectCountStore,
    private readonly index: ObjectIndexStore,
    private readonly config: Config,
  ) {}

  /**
   * @param mayBeShort whether a page of large objects may end early, also where pages have numbers
   * @throws Problem invalid-query for a page that is too large
   */
  async page(projectId: number, filter: Filter, page: PageRequest, mayBeShort?: boolean): Promise<ObjectPage> {
    const { slice, count } = await this.unboundedPage(projectId, filter, page);
    return { slice: boundedSlice(slice, page.position, this.config.limits.pageBytesMax, mayBeShort), count };
  }

  /** A page whose objects may have no data where they are large. */
  async unboundedPage(projectId: number, filter: Filter, page: PageRequest): Promise<UnboundedPage> {
    const list = objectListSql(projectId, filter);
    if (isEverything(filter)) return this.pageOfAll(projectId, list, page);
    if (isOrderedByIndex(filter)) {
      const slice = await this.readPage(list, page);
      page.trace?.add('batch_in_order', { found: slice.items.length });
      return { slice, count: await this.counts.count(projectId, filter, { page, slice }) };
    }
    const query = indexQuery(filter, OBJECT_FILTER_COLUMNS);
    const scan = { ...list, ...newestObjectsSql(projectId, filter, SCAN_ROWS, page), preparedFor: projectId };
    if (query === null) page.trace?.add('inverted_index', notUsable('no_condition'));
    else {
      const found = await this.pageOfQuery(projectId, filter, query, scan, page);
      if (found !== null) return found;
    }
    const slice = await this.readPage(scan, page);
    page.trace?.add('scan', { objects_max: SCAN_ROWS, found: slice.items.length });
    if (isFull(slice, page)) {
      return { slice, count: await this.counts.count(projectId, filter, { page, slice, areMatchesCommon: true }) };
    }
    // The scan ended before the page was full; older objects may match too.
    return this.indexedPage(projectId, filter, list, page);
  }

  /**
   * By the inverted index, or where that has shown that matches are frequent, by a scan of the next objects: one statement instead of
   * two. Null where the index does not find the page.
   */
  private async pageOfQuery(
    projectId: number,
    filter: Filter,
    query: IndexQuery,
    scan: ListSql,
    page: PageRequest,
  ): Promise<UnboundedPage | null> {
    // A page with a count may need more segments.
    const list = `${page.fingerprint} ${page.count}`;
    const last = this.searches.find(list);
    // The index counts up to the cap on its way.
    const mayScan = page.count !== 'capped' || isOnePair(filter);
    const scans = mayScan && last !== null && isScanExpectedToFill(last, { rows: SCAN_ROWS, size: page.size });
    if (scans) {
      const slice = await this.readPage(scan, page);
      page.trace?.add('scan', { objects_max: SCAN_ROWS, found: slice.items.length, expected_share: last.share });
      if (isFull(slice, page)) {
        return { slice, count: await this.counts.count(projectId, filter, { page, slice, query }) };
      }
    }
    const found = await this.index.findPage(projectId, filter, query, page, last);
    if (found === null) return null;
    this.searches.add(list, found, scans);
    const slice = await this.bySeq(projectId, filter, found.seqs, page);
    return { slice, count: found.count ?? (await this.counts.count(projectId, filter, { page, slice, query })) };
  }

  /** All objects. One statement reads the page and the number of objects, which every write keeps: a second one costs 0.2 ms. */
  private async pageOfAll(projectId: number, list: ListSql, page: PageRequest): Promise<UnboundedPage> {
    page.trace?.add('all_in_order');
    if (page.count === 'none') {
      return { slice: await this.readPage({ ...list, name: 'objects' }, page), count: { count: null } };
    }
    const counted = { ...list, select: `${list.select}, ${OBJECT_COUNT} AS total`, name: 'objects-counted' };
    const slice = await this.readPage<{ total: string }>(counted, page, ', total');
    const total = slice.items[0]?.total ?? (await this.counts.countAll(projectId, page.countOn));
    return { slice, count: { count: Number(total), count_is: 'exact' } };
  }

  /** Reads the newest matches from the index; most pages are among them. */
  private async indexedPage(
    projectId: number,
    filter: Filter,
    list: ListSql,
    page: PageRequest,
  ): Promise<UnboundedPage> {
    const sorted = unordered(list);
    // Only sequence numbers: sorting the whole rows of 50,000 matches takes a third longer.
    const newest = pageSql({ ...sorted, select: 'o.seq' }, { position: FIRST_PAGE, size: INDEX_ROWS });
    const found = (await (page.on ?? this.database).query<{ seq: string }>(newest.text, newest.values)).map(
      (row) => row.seq,
    );
    const isAll = found.length <= INDEX_ROWS;
    page.trace?.add('gin_index', { found: found.length, is_all: isAll });
    const seqs = seqsOfPage(found, isAll, page);
    const slice =
      seqs === null
        ? await this.readPage(sorted, page)
        : await this.bySeq(projectId, filter, isAscending(page.position) ? seqs.reverse() : seqs, page);
    const { countCap } = this.config.limits;
    if (page.count !== 'none' && isAll) {
      return { slice, count: cappedCount(found.length, page.count === 'capped' ? countCap : INDEX_ROWS) };
    }
    if (page.count === 'capped' && countCap <= INDEX_ROWS) return { slice, count: cappedCount(found.length, countCap) };
    return { slice, count: await this.counts.count(projectId, filter, { page, slice, minimum: found.length }) };
  }

  /** @param seqs the objects of the page in the direction of reading, and one more where another page follows */
  private async bySeq(
    projectId: number,
    filter: Filter,
    seqs: string[],
    page: PageRequest,
  ): Promise<UnboundedPage['slice']> {
    const { items, ...sides } = toSlice(seqs, page);
    const order = isAscending(page.position) ? 'o.seq' : 'o.seq DESC';
    return { items: await this.objectsOf(projectId, filter, items, order, page), ...sides };
  }

  /**
   * Those of the objects that match the filter, in the order of `seqs`; the last ones in the direction of reading may have no data
   * where they are large.
   */
  listed(projectId: number, filter: Filter, seqs: string[], page: PageRequest): Promise<WithoutData<ObjectRow>[]> {
    const position = 'array_position($2::bigint[], o.seq)';
    const order = page.position.kind === 'before' ? `${position} DESC` : position;
    return this.objectsOf(projectId, filter, seqs, order, page);
  }

  private async objectsOf(
    projectId: number,
    filter: Filter,
    seqs: string[],
    order: string,
    page: PageRequest,
  ): Promise<WithoutData<ObjectRow>[]> {
    if (seqs.length === 0) return [];
    const values: unknown[] = [projectId, seqs];
    const matches = filterSql(filter, OBJECT_FILTER_COLUMNS, values);
    const listed = `SELECT ${OBJECT_COLUMNS} FROM ${BY_SEQ} WHERE ${matches} ORDER BY ${order}`;
    const slice = await readWithMemory(page, this.config.limits.pageBytesMax, async (bytesMax) => {
      const text = boundedRowsSql(COLUMNS_WITHOUT_DATA, listed, bytesMax);
      const rows = await (page.on ?? this.database).query<WithoutData<ObjectRow>>(
        { text, preparedFor: projectId },
        values,
      );
      // An object that was deleted or changed since is missing, which does not make this the last page.
      const found = new Map(rows.map((row) => [row.seq, row]));
      return { items: seqs.flatMap((seq) => found.get(seq) ?? []), hasNext: false, hasPrevious: false };
    });
    return slice.items;
  }

  /** @param more further columns of the list, each after a comma */
  private readPage<More extends object = object>(
    list: ListSql,
    page: PageRequest,
    more = '',
  ): Promise<Slice<WithoutData<ObjectRow> & More>> {
    return readWithMemory(page, this.config.limits.pageBytesMax, (bytesMax) => {
      const wrap = (rows: string): string => boundedRowsSql(`${COLUMNS_WITHOUT_DATA}${more}`, rows, bytesMax);
      const name = list.name === undefined ? {} : { name: `${list.name}.${String(bytesMax)}` };
      return readSlice(page.on ?? this.database, { ...list, ...name, wrap }, page);
    });
  }
}

/** Whether a page has all its objects, and another one follows. */
function isFull({ items, hasNext, hasPrevious }: UnboundedPage['slice'], { size, position }: PageRequest): boolean {
  return items.length === size && (position.kind === 'before' ? hasPrevious : hasNext);
}

/** True where a btree gives the matches in order: the objects of one batch under any other condition. */
function isOrderedByIndex(filter: Filter): boolean {
  return conjunctsOf(filter).some((part) => part.kind === 'batch');
}

/** The same list ordered by an expression that no index has, so that the planner does not scan an index in order to stop early. */
function unordered(list: ListSql): ListSql {
  return { ...list, seq: `(${list.seq} + 0)` };
}

/**
 * The newest matches that are on the page, newest first, and one more where another page follows; null where some of them may
 * be older than the matches found.
 */
function seqsOfPage(found: readonly string[], isAll: boolean, { position, size }: PageRequest): string[] | null {
  if (position.kind === 'offset') {
    const { offset } = position;
    if (!isAscending(position)) return nullUnlessComplete(found.slice(offset, offset + size + 1), isAll, size);
    return isAll
      ? found
          .toReversed()
          .slice(offset, offset + size + 1)
          .reverse()
      : null;
  }
  const at = BigInt(position.seq);
  if (!isAscending(position))
    return nullUnlessComplete(
      found.filter((seq) => isLastPage(position) || BigInt(seq) < at).slice(0, size + 1),
      isAll,
      size,
    );
  const oldest = found.at(-1);
  if (!isAll && (oldest === undefined || BigInt(oldest) > at)) return null;
  return found.filter((seq) => BigInt(seq) > at).slice(-(size + 1));
}

/** Null where more matches of the page may exist than were found. */
function nullUnlessComplete(seqs: string[], isAll: boolean, size: number): string[] | null {
  return isAll || seqs.length > size ? seqs : null;
}

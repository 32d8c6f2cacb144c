import { conjunctsOf, filterSql, type Filter } from '#filter';
import type { PageRequest } from '#http';
import { indexQuery, IndexSearch, type IndexCount, type IndexQuery, notUsable } from '#inverted-index';
import { Config } from '#platform';
import {
  Database,
  isAscending,
  isLastPage,
  type Count,
  type CountMode,
  type PageTrace,
  type Queryable,
} from '#database';
import { Injectable } from '@nestjs/common';
import { OBJECT_FILTER_COLUMNS } from '#store';
import type { ListSearch } from './list-searches.js';
import { BY_SEQ } from './object-list-sql.js';
import { SearchSize } from './search-size.js';

/** The index serves numbered pages up to this object, because it reads the pages before them too. */
const OFFSET_MAX = 10_000;

/** The objects of a page, and the number of all where it was found on the way. */
export interface IndexedPage extends ListSearch {
  seqs: string[];
  count: Count | null;
}

/** Finds the objects of a page, and counts objects, by the inverted index. */
@Injectable()
export class ObjectIndexStore {
  constructor(
    private readonly database: Database,
    private readonly search: IndexSearch,
    private readonly config: Config,
  ) {}

  /**
   * The sequence numbers of the objects of a page in the direction of reading, and one more where another object follows; with the
   * count of a first page where it is found on the way.
   * @param last the last search of this list
   * @returns null where the index does not find them quickly
   */
  async findPage(
    projectId: number,
    filter: Filter,
    query: IndexQuery,
    page: PageRequest,
    last: ListSearch | null = null,
  ): Promise<IndexedPage | null> {
    const { position, size, trace } = page;
    const offset = position.kind === 'offset' ? position.offset : 0;
    const needed = offset + size + 1;
    if (needed > OFFSET_MAX) {
      trace?.add('inverted_index', notUsable('far_page'));
      return null;
    }
    const matching: bigint[] = [];
    let beyondSeq = position.kind === 'offset' || isLastPage(position) ? null : BigInt(position.seq);
    const searchSize = new SearchSize(needed);
    let count: Count | null = null;
    const isCounted = page.count !== 'none' && position.kind === 'offset';
    const countCap = page.count === 'capped' && !isOnePair(filter) ? this.config.limits.countCap : null;
    while (!searchSize.isUsedUp) {
      const isFirst = searchSize.found === 0;
      const range = {
        isAscending: isAscending(position),
        beyondSeq,
        wanted: searchSize.wanted,
        wantedOfCandidates: isCounted ? searchSize.wantedToCount : searchSize.wantedOfCandidates(last?.compared),
        skipsLargeBlocks: query.required.length > 1 && searchSize.skipsLargeBlocks,
        countLimit: isCounted && isFirst && countCap !== null ? countCap : undefined,
        segments: last?.segments,
        trace,
      };
      const found = await this.search.find(projectId, query, range, page.on);
      if (found === null) return null;
      const { segments: segments_max, searched, count: matches, isExact: is_exact } = found;
      trace?.add('inverted_index', { segments_max, searched, matches: matches.may, is_exact });
      matching.push(...(found.isExact ? found.seqs : await this.matching(projectId, filter, found.seqs, page.on)));
      if (isCounted && isFirst) {
        const { length } = matching;
        // Where all possible matches were read, they are counted, too.
        const isCountedHere = found.isAll && !found.isExact;
        count = cappedIndexCount(isCountedHere ? { must: length, may: length, isAll: true } : found.count, countCap);
      }
      if (found.isAll || matching.length >= needed) {
        const share = found.isExact ? found.count.must / Math.max(found.searched, 1) : 0;
        const compared = searchSize.found + (found.isExact ? 0 : found.seqs.length);
        return { seqs: matching.slice(offset, needed).map(String), count, segments: found.segments, share, compared };
      }
      beyondSeq = found.seqs.at(-1) ?? beyondSeq;
      searchSize.grow(found.seqs.length);
    }
    trace?.add('inverted_index', notUsable('many_uncertain'));
    return null;
  }

  /** Counts the objects that match; null where the index cannot. A pair or a key is counted exactly in any mode. */
  async count(
    projectId: number,
    filter: Filter,
    query: IndexQuery,
    mode: CountMode,
    on?: Queryable,
  ): Promise<Count | null> {
    const { countCap } = this.config.limits;
    const isCapped = mode === 'capped' && !isOnePair(filter);
    const limit = isCapped ? countCap : null;
    const counted = await this.search.count(projectId, query, limit, on);
    if (counted === null) return null;
    return cappedIndexCount(counted, limit);
  }

  /**
   * The sequence numbers of at most `limit` objects that match, in any order; fewer where no others match.
   * @returns null where the index does not find them
   */
  async findSome(
    projectId: number,
    filter: Filter,
    limit: number,
    on: Queryable,
    trace?: PageTrace,
  ): Promise<string[] | null> {
    const query = indexQuery(filter, OBJECT_FILTER_COLUMNS);
    if (query === null) {
      trace?.add('inverted_index', notUsable('no_condition'));
      return null;
    }
    const range = { isAscending: true, beyondSeq: null, wanted: limit, trace };
    const found = await this.search.find(projectId, query, range, on);
    if (found === null) return null;
    if (!(found.isExact || found.isAll)) {
      trace?.add('inverted_index', notUsable('many_uncertain'));
      return null;
    }
    return (found.isExact ? found.seqs : await this.matching(projectId, filter, found.seqs, on)).map(String);
  }

  /** Those of the objects that match the filter, in the same order. */
  async matching(
    projectId: number,
    filter: Filter,
    seqs: readonly bigint[],
    on: Queryable = this.database,
  ): Promise<bigint[]> {
    const values: unknown[] = [projectId, seqs.map(String)];
    const matches = filterSql(filter, OBJECT_FILTER_COLUMNS, values);
    const rows = await on.query<{ seq: string }>(`SELECT o.seq FROM ${BY_SEQ} WHERE ${matches}`, values);
    const matching = new Set(rows.map(({ seq }) => seq));
    return seqs.filter((seq) => matching.has(seq.toString()));
  }
}

/** Null where some objects would have to be read. */
function cappedIndexCount({ must, may, isAll }: IndexCount, cap: number | null): Count | null {
  if (cap !== null && must > cap) return { count: cap, count_is: 'at_least' };
  return isAll && must === may ? { count: must, count_is: 'exact' } : null;
}

/** Whether a filter is a key, or a key with a value: its matches are the sum of one number of each segment. */
export function isOnePair(filter: Filter): boolean {
  const [only, ...others] = conjunctsOf(filter);
  if (only?.kind !== 'value' || others.length > 0) return false;
  return only.key !== null && ['exists', 'eq', 'in'].includes(only.test.op);
}

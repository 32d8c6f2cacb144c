import { filterSql, type Filter, type FilterColumns } from '#filter';
import type { Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { entriesOf } from './block.js';
import { evaluate, type Matches } from './evaluate.js';
import { indexPlan, isUseful, lookupsOf, type IndexPlan, type Lookup } from './index-plan.js';
import { IndexReadStore, type PendingCondition, type ReadSegment, type ReadSegments } from './index-read.store.js';
import { ascending, countOrdinals, descending } from './ordinals.js';
import { SeqRuns } from './seq-runs.js';

/** Segments of the first step of a search, and by how many times each next step is larger. */
const FIRST_SEGMENTS = 4;
const STEP_GROWTH = 8;
/** How often a search begins again because segments were merged meanwhile. */
const ATTEMPTS = 3;

/** A filter prepared for the index. */
export interface IndexQuery {
  plan: IndexPlan;
  lookups: readonly Lookup[];
  /** The filter itself, for the objects that the index does not have. */
  condition: PendingCondition;
}

/** Where a search begins, in which direction, and how many objects it needs. */
export interface SearchRange {
  isAscending: boolean;
  /** Null: the first objects of all. */
  beyondSeq: bigint | null;
  wanted: number;
  /** Continue until more objects than this certainly match, or all are counted. */
  countLimit?: number | undefined;
}

/** The first objects that may match, in the direction of the search. */
export interface FoundObjects {
  seqs: bigint[];
  /** Whether each of them certainly matches. */
  isExact: boolean;
  /** Whether no others may match. */
  isAll: boolean;
  /** The objects of the segments that were searched, and the pending ones. */
  count: IndexCount;
}

/** The number of objects that match. */
export interface IndexCount {
  /** Certain matches, and possible ones. Both are lower bounds unless all were counted. */
  must: number;
  may: number;
  isAll: boolean;
}

/**
 * Null where the index cannot help: a filter without conditions on data.
 * @param columns those of `objects AS o`
 */
export function indexQuery(filter: Filter, columns: FilterColumns): IndexQuery | null {
  const plan = indexPlan(filter);
  if (!isUseful(plan)) return null;
  return { plan, lookups: lookupsOf(plan), condition: (values) => filterSql(filter, columns, values) };
}

/** Searches the inverted index. */
@Injectable()
export class IndexSearch {
  constructor(private readonly store: IndexReadStore) {}

  /**
   * Finds the first objects in the order of their sequence numbers, newest or oldest first, and counts on the way.
   * @returns null where the index is not usable now
   */
  async find(projectId: number, query: IndexQuery, range: SearchRange, on?: Queryable): Promise<FoundObjects | null> {
    const { isAscending, beyondSeq, wanted, countLimit = -1 } = range;
    const isBefore = (a: bigint, b: bigint): boolean => (isAscending ? a < b : a > b);
    return this.attempt(async (isSameVersion) => {
      let found: bigint[] = [];
      let isExact = true;
      const count: IndexCount = { must: 0, may: 0, isAll: false };
      for await (const { step, isFirst } of this.steps(projectId, query, range, false, on)) {
        if (step.isIncomplete) return null;
        if (!isSameVersion(step)) return 'changed';
        if (isFirst) {
          found = step.pending.filter((seq) => beyondSeq === null || isBefore(beyondSeq, seq));
          addCount(count, found.length, found.length);
        }
        for (const segment of step.segments) {
          const { matches, seqs } = matchesOf(query, segment);
          if (matches.must !== matches.may) isExact = false;
          if (countLimit >= 0) addMatches(count, matches);
          takeFirst(found, matches, seqs, range);
        }
        found.sort((a, b) => (isBefore(a, b) ? -1 : 1));
        const last = found[wanted - 1];
        const { next } = step;
        if (next === null) {
          count.isAll = true;
          return { seqs: found.slice(0, wanted), isExact, isAll: found.length <= wanted, count };
        }
        const isComplete = last !== undefined && isBefore(last, isAscending ? next.firstSeq : next.lastSeq);
        if (isComplete && (countLimit < 0 || count.must > countLimit)) {
          return { seqs: found.slice(0, wanted), isExact, isAll: false, count };
        }
      }
      throw new Error('the list of segments has no end');
    });
  }

  /**
   * Counts the objects that match.
   * @param limit a number of certain matches after which counting ends; null for no limit
   * @returns null where the index is not usable now
   */
  async count(projectId: number, query: IndexQuery, limit: number | null, on?: Queryable): Promise<IndexCount | null> {
    const range = { isAscending: false, beyondSeq: null, wanted: 0, countLimit: limit ?? Infinity };
    const single = singleLookup(query);
    const sum = single && (await this.sum(projectId, query, single, on));
    if (sum !== null) return sum;
    return (await this.find(projectId, query, range, on))?.count ?? null;
  }

  /**
   * Counts by the numbers of objects of the blocks, without the objects themselves.
   * @returns null where the index is not usable now, or has outdated entries
   */
  private sum(projectId: number, query: IndexQuery, { accepts }: Lookup, on?: Queryable): Promise<IndexCount | null> {
    return this.attempt(async (isSameVersion) => {
      let total = 0;
      const range = { isAscending: false, beyondSeq: null };
      for await (const { step, isFirst } of this.steps(projectId, query, range, true, on)) {
        if (step.isIncomplete || step.segments.some(({ outdated }) => outdated.length > 0)) return null;
        if (!isSameVersion(step)) return 'changed';
        if (isFirst) total += step.pending.length;
        for (const { blocks, objects } of step.segments) {
          for (const { body, count } of blocks) {
            if (body === null) total += count;
            else for (const entry of entriesOf(body, objects)) if (accepts?.(entry.value) ?? true) total += entry.count;
          }
        }
      }
      return { must: total, may: total, isAll: true };
    });
  }

  /** Reads the list of segments in growing steps. */
  private async *steps(
    projectId: number,
    { lookups, condition }: IndexQuery,
    { isAscending, beyondSeq }: Pick<SearchRange, 'isAscending' | 'beyondSeq'>,
    countsOnly: boolean,
    on?: Queryable,
  ): AsyncGenerator<{ step: ReadSegments; isFirst: boolean }> {
    const requests = lookups.map(({ request }) => request);
    let limit = countsOnly ? FIRST_SEGMENTS * STEP_GROWTH ** 2 : FIRST_SEGMENTS;
    for (let skip = 0; ; skip += limit, limit *= STEP_GROWTH) {
      const range = { isAscending, beyondSeq: beyondSeq?.toString() ?? null, skip, limit, countsOnly };
      const step = await this.store.read(projectId, requests, range, condition, on);
      yield { step, isFirst: skip === 0 };
      if (step.next === null) return;
    }
  }

  /** Searches again where segments were merged between two steps, which then are not of one state. */
  private async attempt<T>(
    search: (isSameVersion: (step: ReadSegments) => boolean) => Promise<T | null | 'changed'>,
  ): Promise<T | null> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      let version: string | undefined;
      const result = await search((step) => (version ??= step.version) === step.version);
      if (result !== 'changed') return result;
    }
    return null;
  }
}

function matchesOf({ plan, lookups }: IndexQuery, segment: ReadSegment): { matches: Matches; seqs: SeqRuns } {
  const seqs = SeqRuns.from(segment.seqs);
  return { matches: evaluate(plan, lookups, segment, seqs), seqs };
}

/** The only look-up of a query where its matches are those of one entry of each segment. */
function singleLookup({ lookups, plan }: IndexQuery): Lookup | null {
  const [only, ...others] = lookups;
  const part = plan.kind === 'and' && plan.of.length === 1 ? plan.of[0] : plan;
  if (part?.kind !== 'lookups' || only === undefined || others.length > 0 || !only.isExact) return null;
  return only.request.type === 'plain' || only.request.type === 'point' ? only : null;
}

function addMatches(count: IndexCount, { must, may }: Matches): void {
  const certain = countOrdinals(must);
  addCount(count, certain, must === may ? certain : countOrdinals(may));
}

function addCount(count: IndexCount, must: number, may: number): void {
  count.must += must;
  count.may += may;
}

/** Adds the first matches of a segment: `wanted`, and one more, which shows that these are not all. */
function takeFirst(
  found: bigint[],
  { may }: Matches,
  seqs: SeqRuns,
  { isAscending, beyondSeq, wanted }: SearchRange,
): void {
  let taken = 0;
  for (const ordinal of isAscending ? ascending(may) : descending(may)) {
    if (taken > wanted) return;
    const seq = seqs.at(ordinal);
    if (beyondSeq !== null && (isAscending ? seq <= beyondSeq : seq >= beyondSeq)) continue;
    found.push(seq);
    taken++;
  }
}

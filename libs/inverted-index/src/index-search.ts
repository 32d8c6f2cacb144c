import { filterSql, type Filter, type FilterColumns } from '#filter';
import type { PageTrace, Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { setImmediate } from 'node:timers/promises';
import { entriesOf } from './block.js';
import { evaluate, type Matches } from './evaluate.js';
import { indexPlan, isUseful, lookupsOf, requiredOf, type IndexPlan } from './index-plan.js';
import type { Lookup } from './lookup.js';
import type { PendingCondition } from './index-read-sql.js';
import { IndexReadStore, type ReadSegment, type ReadSegments } from './index-read.store.js';
import { ascending, countOrdinals, descending } from './ordinals.js';
import { SeqRuns } from './seq-runs.js';
import { notUsable } from './unusable-reason.js';

/** The most segments of a search; 10 million objects have some 160. */
export const SEGMENTS_MAX = 2_000;
/** How many segments a search reads: most pages are in the first four, and most counts up to COUNT_CAP in eight or 32. */
const SEGMENT_STEPS = [4, 8, 32, SEGMENTS_MAX] as const;
/** After this time the requests that wait have their turn. */
export const TURN_MS = 10;

/** A filter prepared for the index. */
export interface IndexQuery {
  plan: IndexPlan;
  lookups: readonly Lookup[];
  /** Look-ups by their index: every match is found by at least one of each set. */
  required: readonly (readonly number[])[];
  /** The filter itself, for the objects that the index does not have. */
  condition: PendingCondition;
}

/** Where a search begins, in which direction, and how many objects it needs. */
export interface SearchRange {
  isAscending: boolean;
  /** Null: the first objects of all. */
  beyondSeq: bigint | null;
  wanted: number;
  /**
   * Whether to leave out large blocks where another condition has few objects. These then only may match: to compare them takes less
   * time than to read the blocks.
   */
  skipsLargeBlocks?: boolean;
  /** How many objects it needs where blocks were left out, so that some of them may not match. Default: `wanted`. */
  wantedOfCandidates?: number;
  /** Continue until more objects than this certainly match, or all are counted. */
  countLimit?: number | undefined;
  /** The segments to read at first: those that the last search with the query needed. Default: few. */
  segments?: number | undefined;
  /** Records why the index is not usable. */
  trace?: PageTrace | undefined;
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
  /** The number of segments that were requested, and of the objects in them. */
  segments: number;
  searched: number;
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
  const lookups = lookupsOf(plan);
  return {
    plan,
    lookups,
    required: requiredOf(plan, lookups),
    condition: (values) => filterSql(filter, columns, values),
  };
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
    // A search reads one state, in one statement. Where the first segments are not enough, it begins again with more.
    for (const segments of SEGMENT_STEPS) {
      if (segments < (range.segments ?? 0)) continue;
      const read = await this.read(projectId, query, range, segments, on);
      if (read === null) return null;
      const found = await foundIn(read, query, range);
      if (found !== null) return { ...found, segments };
    }
    range.trace?.add('inverted_index', notUsable('many_segments'));
    return null;
  }

  /**
   * Counts the objects that match.
   * @param limit a number of certain matches after which counting ends; null for no limit
   * @returns null where the index is not usable now
   */
  async count(projectId: number, query: IndexQuery, limit: number | null, on?: Queryable): Promise<IndexCount | null> {
    const segments = limit === null ? SEGMENTS_MAX : undefined;
    const range = { isAscending: false, beyondSeq: null, wanted: 0, countLimit: limit ?? Infinity, segments };
    const single = singleLookup(query);
    const sum = single === null ? null : await this.sum(projectId, query, single, on);
    if (sum !== null) return sum;
    return (await this.find(projectId, query, range, on))?.count ?? null;
  }

  /**
   * Counts by the numbers of objects of the blocks, without the objects themselves.
   * @returns null where the index is not usable now, or has outdated entries
   */
  private async sum(
    projectId: number,
    query: IndexQuery,
    { accepts }: Lookup,
    on?: Queryable,
  ): Promise<IndexCount | null> {
    const range = { isAscending: false, beyondSeq: null };
    const read = await this.read(projectId, query, range, SEGMENTS_MAX, on, true);
    if (read === null || read.next !== null || read.segments.some(({ outdated }) => outdated.length > 0)) return null;
    let total = read.pending.length;
    for (const { blocks, objects } of read.segments) {
      for (const { body, count } of blocks) {
        if (body === null) total += count;
        else for (const entry of entriesOf(body, objects)) if (accepts?.(entry.value) ?? true) total += entry.count;
      }
    }
    return { must: total, may: total, isAll: true };
  }

  /** Null where the index is not usable now. */
  private async read(
    projectId: number,
    { lookups, required, condition }: IndexQuery,
    {
      isAscending,
      beyondSeq,
      skipsLargeBlocks = false,
      trace,
    }: Pick<SearchRange, 'isAscending' | 'beyondSeq' | 'skipsLargeBlocks' | 'trace'>,
    limit: number,
    on?: Queryable,
    countsOnly = false,
  ): Promise<ReadSegments | null> {
    const requests = lookups.map(({ request }) => request);
    const range = {
      isAscending,
      beyondSeq: beyondSeq?.toString() ?? null,
      skip: 0,
      limit,
      countsOnly,
      required,
      skipsLargeBlocks,
    };
    const read = await this.store.read(projectId, requests, range, condition, on);
    if (read.unusable.length === 0) return read;
    trace?.add('inverted_index', notUsable(...read.unusable));
    return null;
  }
}

/** Null where objects of further segments are needed. */
async function foundIn(
  { segments, next, pending }: ReadSegments,
  query: IndexQuery,
  range: SearchRange,
): Promise<Omit<FoundObjects, 'segments'> | null> {
  const { isAscending, beyondSeq, countLimit = -1 } = range;
  const wanted = segments.some(hasSkipped) ? (range.wantedOfCandidates ?? range.wanted) : range.wanted;
  const isBefore = (a: bigint, b: bigint): boolean => (isAscending ? a < b : a > b);
  const found = pending.filter((seq) => beyondSeq === null || isBefore(beyondSeq, seq));
  const count: IndexCount = { must: found.length, may: found.length, isAll: next === null };
  let searched = found.length;
  let isExact = true;
  let yieldAtMs = performance.now() + TURN_MS;
  for (const segment of segments) {
    searched += segment.objects;
    const matches = evaluate(query.plan, query.lookups, segment);
    if (matches !== null) {
      if (matches.must !== matches.may) isExact = false;
      addMatches(count, matches);
      takeFirst(found, matches, segment, { ...range, wanted });
    }
    if (performance.now() < yieldAtMs) continue;
    await setImmediate();
    yieldAtMs = performance.now() + TURN_MS;
  }
  found.sort((a, b) => (isBefore(a, b) ? -1 : 1));
  const isAll = next === null && found.length <= wanted;
  const result = { seqs: found.slice(0, wanted), isExact, isAll, count, searched };
  if (next === null) return result;
  const last = found[wanted - 1];
  const isComplete = last !== undefined && isBefore(last, isAscending ? next.firstSeq : next.lastSeq);
  return isComplete && (countLimit < 0 || count.must > countLimit) ? result : null;
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

/** Whether large blocks were left out. */
function hasSkipped({ blocks }: ReadSegment): boolean {
  return blocks.some(({ body }) => body === null);
}

/** Adds the first matches of a segment: those that are wanted, and one more, which shows that these are not all. */
function takeFirst(
  found: bigint[],
  { may }: Matches,
  segment: ReadSegment,
  { isAscending, beyondSeq, wanted }: SearchRange,
): void {
  if (wanted === 0) return;
  let seqs: SeqRuns | null = null;
  let taken = 0;
  for (const ordinal of isAscending ? ascending(may) : descending(may)) {
    if (taken > wanted) return;
    seqs ??= SeqRuns.from(segment.seqs);
    const seq = seqs.at(ordinal);
    if (beyondSeq !== null && (isAscending ? seq <= beyondSeq : seq >= beyondSeq)) continue;
    found.push(seq);
    taken++;
  }
}

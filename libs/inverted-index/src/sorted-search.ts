import { Database, type PageTrace, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { setImmediate } from 'node:timers/promises';
import { entriesOf, ordinalsOf } from './block.js';
import { evaluate } from './evaluate.js';
import type { SortedRequest } from './lookup.js';
import { IndexReadStore, type ReadSegment } from './index-read.store.js';
import { SEGMENTS_MAX, TURN_MS, type IndexQuery } from './index-search.js';
import { validObjects } from './index-state.js';
import { ascending, countOrdinals, hasOrdinal, type Bitmap } from './ordinals.js';
import { SeqRuns } from './seq-runs.js';
import {
  compareSortValues,
  sortValueOf,
  sortValueSql,
  type SortKey,
  type SortValue,
  type SortValueRow,
} from './sort-value.js';
import { notUsable, type UnusableReason } from './unusable-reason.js';

/**
 * At first, one sorted block of each segment is read for so many wanted objects; a block has up to 128 objects, or one value. Under a
 * filter four times as many are read, because many of their objects do not match, and another search costs more than a few blocks.
 */
const OBJECTS_OF_BLOCK = 512;
const FILTERED_BLOCKS = 4;
/** The most sorted blocks of a segment and of all segments. Beyond it, reading the objects is as quick. */
const SEGMENT_BLOCKS_MAX = 4_096;
const BLOCKS_MAX = 8_192;
const BLOCK_GROWTH_MAX = 16;

/** An object and the value that decides its place. */
export interface SortedObject {
  seq: bigint;
  value: SortValue;
}

/** Where a sorted search begins and how many objects it needs. */
export interface SortedRange {
  key: SortKey;
  /** The direction of reading. */
  isAscending: boolean;
  /** Only objects after this one in the order; null for the first ones. */
  beyond: SortedObject | null;
  wanted: number;
  /** Where no more objects than this may match a filter, all of them are returned instead. */
  few: number;
  /** Records why the index is not usable. */
  trace?: PageTrace | undefined;
}

/** Objects that may match, in their order; or all of them in any order, where they are few. */
export type SortedMatches =
  | {
      objects: SortedObject[];
      /** Whether each of them certainly matches. */
      isExact: boolean;
      /** Whether no others have a value and may match. */
      isAll: boolean;
    }
  | { few: bigint[] };

/** Finds objects in the order of the values of a key, by the blocks of the inverted index. */
@Injectable()
export class SortedSearch {
  constructor(
    private readonly database: Database,
    private readonly store: IndexReadStore,
  ) {}

  /**
   * The first objects that may match, by value and then by sequence number. An object that has several values may be found at each of
   * them, but a search from the start of the list finds it at its place only.
   * @param query null for all objects
   * @returns null where the index is not usable now, or does not find them quickly
   */
  async find(
    projectId: number,
    query: IndexQuery | null,
    range: SortedRange,
    on: Queryable = this.database,
  ): Promise<SortedMatches | null> {
    const { key, isAscending, beyond, wanted, few, trace } = range;
    const unusable = (...reasons: UnusableReason[]): null => {
      trace?.add('sorted_blocks', notUsable(...reasons));
      return null;
    };
    const requests = query === null ? [] : query.lookups.map(({ request }) => request);
    const condition = query === null ? (): string => 'true' : query.condition;
    const first = Math.ceil(wanted / OBJECTS_OF_BLOCK) * (query === null ? 1 : FILTERED_BLOCKS);
    let blocks = 2 ** Math.ceil(Math.log2(first));
    while (blocks <= SEGMENT_BLOCKS_MAX) {
      const sorted: SortedRequest = {
        type: 'sorted',
        path: key.key,
        isAscending,
        from: beyond?.value ?? null,
        limit: blocks,
      };
      const required = query?.required ?? [];
      const segments = {
        isAscending: false,
        beyondSeq: null,
        skip: 0,
        limit: SEGMENTS_MAX,
        countsOnly: false,
        required,
        skipsLargeBlocks: false,
      };
      const read = await this.store.read(projectId, [...requests, sorted], segments, condition, on);
      if (read.unusable.length > 0) return unusable(...read.unusable);
      if (read.next !== null) return unusable('many_segments');

      const merge = new SortedMerge(query, range, requests.length, blocks);
      for (const segment of read.segments) await merge.add(segment);
      if (query !== null && merge.matchCount + read.pending.length <= few) {
        return { few: [...merge.matches(), ...read.pending] };
      }
      const pending = await this.valuesOf(projectId, read.pending, key, on);
      const { objects, isComplete, isAll } = merge.result(pending);
      if (isComplete) return { objects, isExact: merge.isExact, isAll };
      if (merge.isTooLarge) break;
      const growth = Math.min(Math.max((1.5 * (wanted + 1)) / objects.length, 2), BLOCK_GROWTH_MAX);
      // Few different numbers, which are part of the text of the statement.
      blocks = 2 ** Math.ceil(Math.log2(blocks * growth));
      if (blocks * read.segments.length > BLOCKS_MAX) break;
    }
    return unusable('many_sorted_blocks');
  }

  /** The objects that have a value under the key, in any order, with the value that decides their place. */
  async valuesOf(
    projectId: number,
    seqs: readonly bigint[],
    key: SortKey,
    on: Queryable = this.database,
  ): Promise<SortedObject[]> {
    if (seqs.length === 0) return [];
    const values: unknown[] = [projectId, seqs.map(String)];
    const text = `
      SELECT o.seq, v.kind, v.number, v.text
      FROM objects AS o, LATERAL (${sortValueSql(key, values)}) AS v
      WHERE o.project_id = $1 AND o.seq = ANY ($2::bigint[])`;
    const rows = await on.query<SortValueRow & { seq: string }>(text, values);
    return rows.map((row) => ({ seq: BigInt(row.seq), value: sortValueOf(row) }));
  }
}

/** Whether the first value that a search finds of an object is the one that decides its place. */
export function isAtPlace({ key, isAscending, beyond }: Pick<SortedRange, 'key' | 'isAscending' | 'beyond'>): boolean {
  return beyond === null && isAscending === (key.place === 'lowest');
}

/** In the order of a list. */
export function compareSorted(left: SortedObject, right: SortedObject, isAscending: boolean): number {
  const order =
    compareSortValues(left.value, right.value) || (left.seq < right.seq ? -1 : Number(left.seq > right.seq));
  return isAscending ? order : -order;
}

/** Merges the sorted objects of segments. */
class SortedMerge {
  /** Whether each match is certain. */
  isExact = true;
  /** The number of objects that may match. */
  matchCount = 0;
  /** Whether a segment has more bytes of sorted blocks than are read. */
  isTooLarge = false;
  private yieldAtMs = performance.now() + TURN_MS;
  /** The first objects so far, in the order; more than are wanted where there are others. */
  private found: SortedObject[] = [];
  private readonly segments: { segment: ReadSegment; matching: Bitmap }[] = [];
  /** The first value in the order after which some segment may have objects that were not read. */
  private end: SortValue | null = null;

  /** @param blocks how many blocks were requested of each segment */
  constructor(
    private readonly query: IndexQuery | null,
    private readonly range: SortedRange,
    private readonly sortedRequest: number,
    private readonly blocks: number,
  ) {}

  async add(segment: ReadSegment): Promise<void> {
    if (this.query === null) {
      await this.addObjects(segment, segment.outdated.length === 0 ? null : validObjects(segment));
    } else {
      const matching = this.matchesOf(segment, this.query);
      const count = matching === null ? 0 : countOrdinals(matching);
      if (matching === null || count === 0) return;
      this.matchCount += count;
      if (this.matchCount <= this.range.few) this.segments.push({ segment, matching });
      await this.addObjects(segment, matching);
    }
    this.keepFirst();
  }

  /** All matches, where they are few. */
  *matches(): Generator<bigint> {
    for (const { segment, matching } of this.segments) {
      const seqs = SeqRuns.from(segment.seqs);
      for (const ordinal of ascending(matching)) yield seqs.at(ordinal);
    }
  }

  result(pending: readonly SortedObject[]): { objects: SortedObject[]; isComplete: boolean; isAll: boolean } {
    const { beyond, isAscending, wanted } = this.range;
    const isBeyond = (object: SortedObject): boolean =>
      beyond === null || compareSorted(object, beyond, isAscending) > 0;
    this.found.push(...pending.filter(isBeyond));
    this.keepFirst();
    const { end, found } = this;
    const uncertain = end === null ? -1 : found.findIndex(({ value }) => this.compare(value, end) > 0);
    const objects = uncertain === -1 ? found : found.slice(0, uncertain);
    const isComplete = end === null || objects.length > wanted;
    return { objects: objects.slice(0, wanted), isComplete, isAll: end === null && objects.length <= wanted };
  }

  /** Null where none match. */
  private matchesOf(segment: ReadSegment, { plan, lookups }: IndexQuery): Bitmap | null {
    const matches = evaluate(plan, lookups, segment);
    if (matches !== null && matches.must !== matches.may) this.isExact = false;
    return matches?.may ?? null;
  }

  private compare(left: SortValue, right: SortValue): number {
    const order = compareSortValues(left, right);
    return this.range.isAscending ? order : -order;
  }

  /** Keeps the objects that are wanted and one more, which shows that these are not all. */
  private keepFirst(): void {
    const { isAscending, wanted } = this.range;
    this.found.sort((a, b) => compareSorted(a, b, isAscending));
    this.found.length = Math.min(this.found.length, wanted + 1);
  }

  /** @param matching null for all objects of the segment */
  private async addObjects(segment: ReadSegment, matching: Bitmap | null): Promise<void> {
    const { beyond, isAscending, wanted } = this.range;
    let seqs: SeqRuns | null = null;
    const seen = isAtPlace(this.range) ? new Set<number>() : null;
    // Objects after this one are not wanted, because others are before them.
    const bound = this.found[wanted]?.value ?? null;
    const { blocks, isCut } = this.sortedBlocks(segment);
    let last: SortValue | null = null;
    let taken = 0;
    for (const { kind, body } of blocks) {
      if (performance.now() >= this.yieldAtMs) {
        await setImmediate();
        this.yieldAtMs = performance.now() + TURN_MS;
      }
      const ascendingEntries = entriesOf(body, segment.objects);
      for (const entry of isAscending ? ascendingEntries : Array.from(ascendingEntries).reverse()) {
        const value: SortValue = { kind, value: entry.value };
        last = value;
        const order = beyond === null ? 1 : this.compare(value, beyond.value);
        if (order < 0) continue;
        if (bound !== null && this.compare(value, bound) > 0) return;
        const ordinals = ordinalsOf(entry, segment.objects);
        for (const ordinal of isAscending ? ordinals : ordinals.reverse()) {
          if ((matching !== null && !hasOrdinal(matching, ordinal)) || seen?.has(ordinal)) continue;
          seqs ??= SeqRuns.from(segment.seqs);
          const seq = seqs.at(ordinal);
          if (order === 0 && beyond !== null && (isAscending ? seq <= beyond.seq : seq >= beyond.seq)) continue;
          seen?.add(ordinal);
          this.found.push({ seq, value });
          if (++taken > wanted) return;
        }
      }
    }
    if (isCut && last !== null && (this.end === null || this.compare(last, this.end) < 0)) this.end = last;
  }

  /** The sorted blocks in the order, and whether there may be more after them. */
  private sortedBlocks({ blocks, objects }: ReadSegment): { blocks: SortedBlock[]; isCut: boolean } {
    const { beyond } = this.range;
    const requested = blocks.filter(({ request }) => request === this.sortedRequest);
    // The last blocks of each kind have no bodies where they would be too large.
    const isTooLarge = requested.some(({ body }) => body === null);
    if (isTooLarge) this.isTooLarge = true;
    let sorted = requested.flatMap(({ kind, body }): SortedBlock[] => {
      if (body === null) return [];
      const [first] = entriesOf(body, objects);
      return [{ kind: kind as SortValue['kind'], first: first?.value ?? '', body }];
    });
    const ofFirstKind = sorted.filter(({ kind }) => kind === beyond?.value.kind);
    // Blocks of other kinds do not follow directly where the first kind may have more.
    if (ofFirstKind.length >= this.blocks || (isTooLarge && ofFirstKind.length > 0)) sorted = ofFirstKind;
    const isCut = isTooLarge || sorted.length >= this.blocks;
    sorted.sort((a, b) => this.compare({ kind: a.kind, value: a.first }, { kind: b.kind, value: b.first }));
    return { blocks: sorted, isCut };
  }
}

interface SortedBlock {
  kind: SortValue['kind'];
  /** Its lowest value. */
  first: string;
  body: Buffer;
}

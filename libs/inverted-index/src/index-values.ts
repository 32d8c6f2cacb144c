import { setImmediate as nextTurn } from 'node:timers/promises';
import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { addEntry, countEntry, entriesOf } from './block.js';
import { evaluate } from './evaluate.js';
import { indexNumber } from './index-number.js';
import { IndexReadStore, type ReadSegment } from './index-read.store.js';
import type { IndexQuery } from './index-search.js';
import {
  areStored,
  hasOutdated,
  numbersOf,
  readNewest,
  readState,
  retryChanged,
  validObjects,
  type IndexState,
} from './index-state.js';
import { countOrdinals, emptyBitmap, intersect, subtract, type Bitmap } from './ordinals.js';
import { TermKind } from './term-kind.js';
import { ValueCounts } from './value-counts.js';

/** The values of a path in the segments, and the objects that are not in a segment. */
export interface IndexedValues {
  counts: ValueCounts;
  pending: bigint[];
}

/** The segments and bytes that one statement reads. Texts of a segment may have 65 MB; such a path is not read. */
const STEP_SEGMENTS = 32;
const STEP_BYTES = 8 * 1024 ** 2;
const SEGMENT_BYTES_MAX = 32 * 1024 ** 2;

const VALUE_KINDS = `b.kind BETWEEN ${String(TermKind.null)} AND ${String(TermKind.structure)}`;

/** The bytes of the blocks of a path in each segment; `multi` are those with several values. */
const SIZES = {
  name: 'index.value-sizes',
  text: `
    SELECT b.segment, sum(octet_length(b.body)) AS bytes,
      coalesce(sum(octet_length(b.body)) FILTER (WHERE b.value_count > 1), 0) AS multi_bytes,
      bool_or(b.kind = ${String(TermKind.structure)}) AS is_nested
    FROM index_blocks AS b WHERE b.project_id = $1 AND b.segment = ANY ($2::bigint[]) AND b.path = $3 AND ${VALUE_KINDS}
    GROUP BY b.segment`,
};

/** The number of objects of each value that has a block of its own, in segments that count as a whole. */
const SINGLE_VALUES = {
  name: 'index.single-values',
  text: `
    SELECT b.kind, b.last_number::text AS number, b.last_text AS text, sum(b.posting_count) AS count
    FROM index_blocks AS b WHERE b.project_id = $1 AND b.segment = ANY ($2::bigint[]) AND b.path = $3 AND ${VALUE_KINDS}
      AND b.value_count = 1
    GROUP BY b.kind, b.last_number, b.last_text`,
};

/** The blocks of each kind as one body; $4 whether also those with one value. */
const BODIES = {
  name: 'index.value-bodies',
  text: `
    SELECT b.segment, b.kind, string_agg(b.body, ''::bytea) AS body
    FROM index_blocks AS b WHERE b.project_id = $1 AND b.segment = ANY ($2::bigint[]) AND b.path = $3 AND ${VALUE_KINDS}
      AND ($4 OR b.value_count > 1)
    GROUP BY b.segment, b.kind ORDER BY b.segment, b.kind`,
};

interface SizeRow {
  segment: string;
  bytes: string;
  multi_bytes: string;
  is_nested: boolean;
}

interface BodyRow {
  segment: string;
  kind: TermKind;
  body: Buffer;
}

/** Counts objects by the values of a path. */
@Injectable()
export class IndexValues {
  constructor(
    private readonly database: Database,
    private readonly store: IndexReadStore,
  ) {}

  /**
   * Counts the objects that a query matches, or all objects without one, by their values at a path. Long values count together, and
   * so do objects that have only lists and objects there.
   * @returns null where the index is not usable now, does not decide the query, or has values that are too long to be read
   */
  count(
    projectId: number,
    path: string,
    query: IndexQuery | null,
    on: Queryable = this.database,
  ): Promise<IndexedValues | null> {
    return retryChanged(async () => {
      const state = await readState(this.store, projectId, on);
      return state === null || state === 'changed' ? state : this.countIn(projectId, path, query, state, on);
    });
  }

  private async countIn(
    projectId: number,
    path: string,
    query: IndexQuery | null,
    { segments, pending }: IndexState,
    on: Queryable,
  ): Promise<IndexedValues | null | 'changed'> {
    const rows = await on.query<SizeRow>(SIZES, [projectId, numbersOf(segments), path]);
    const sizes = new Map(rows.map((row) => [row.segment, row]));
    /** Whether the sets of objects of all values are needed, not only their sizes. */
    const needsSets = (segment: ReadSegment): boolean =>
      query !== null || sizes.get(String(segment.number))?.is_nested === true || hasOutdated(segment);
    const bytesOf = (segment: ReadSegment): number => {
      const size = sizes.get(String(segment.number));
      return Number((needsSets(segment) ? size?.bytes : size?.multi_bytes) ?? 0);
    };
    if (segments.some((segment) => bytesOf(segment) > SEGMENT_BYTES_MAX)) return null;
    const counts = new ValueCounts();
    const whole = segments.filter((segment) => !needsSets(segment));
    if (whole.length > 0) await this.addSingleValues(projectId, path, whole, counts, on);
    for (let at = 0; at < segments.length && counts.isComplete;) {
      const step = nextStep(segments, at, bytesOf);
      const objects = query === null ? validOf(step, needsSets) : await this.matching(projectId, query, step, at, on);
      if (objects === null || objects === 'changed') return objects;
      at += step.length;
      for (const isSet of [true, false]) {
        const some = step.filter((one) => needsSets(one) === isSet && bytesOf(one) > 0 && !isEmpty(objects, one));
        if (some.length === 0) continue;
        const bodies = await on.query<BodyRow>(BODIES, [projectId, numbersOf(some), path, isSet]);
        for (const segment of some) {
          const own = bodies.filter((row) => row.segment === String(segment.number));
          addValues(counts, own, segment.objects, objects.get(segment) ?? null);
          await nextTurn();
        }
      }
    }
    return (await areStored(projectId, segments, on)) ? { counts, pending } : 'changed';
  }

  private async addSingleValues(
    projectId: number,
    path: string,
    segments: readonly ReadSegment[],
    counts: ValueCounts,
    on: Queryable,
  ): Promise<void> {
    const rows = await on.query<{ kind: TermKind; number: string | null; text: string | null; count: string }>(
      SINGLE_VALUES,
      [projectId, numbersOf(segments), path],
    );
    for (const { kind, number, text, count } of rows) {
      if (kind === TermKind.long) counts.addUnlisted(Number(count));
      else counts.add(kind, text ?? (number === null ? '' : String(indexNumber(number))), Number(count));
    }
  }

  /** The objects of some segments that a query matches; null where the index does not decide that. */
  private async matching(
    projectId: number,
    { plan, lookups }: IndexQuery,
    segments: readonly ReadSegment[],
    skip: number,
    on: Queryable,
  ): Promise<ReadonlyMap<ReadSegment, Bitmap> | null | 'changed'> {
    const requests = lookups.map(({ request }) => request);
    const read = await readNewest(this.store, projectId, requests, { skip, limit: segments.length }, on);
    if (read.unusable.length > 0) return null;
    const found = new Map<ReadSegment, Bitmap>();
    for (const [index, segment] of segments.entries()) {
      const own = read.segments[index];
      if (own?.number !== segment.number) return 'changed';
      // The outdated entries are those of the state whose pending objects are read.
      const matches = evaluate(plan, lookups, { ...own, outdated: segment.outdated });
      if (matches !== null && matches.must !== matches.may) return null;
      found.set(segment, matches?.must ?? emptyBitmap(segment.objects));
    }
    return found;
  }
}

/** The segments from an index on that are read at once: at least one. */
function nextStep(
  segments: readonly ReadSegment[],
  start: number,
  bytesOf: (one: ReadSegment) => number,
): ReadSegment[] {
  let bytes = 0;
  const rest = segments.slice(start, start + STEP_SEGMENTS);
  const end = rest.findIndex((segment, index) => (bytes += bytesOf(segment)) > STEP_BYTES && index > 0);
  return end === -1 ? rest : rest.slice(0, end);
}

/** The objects whose entries are valid, of the segments where not all are. */
function validOf(
  segments: readonly ReadSegment[],
  needsSets: (one: ReadSegment) => boolean,
): ReadonlyMap<ReadSegment, Bitmap> {
  return new Map(segments.filter(needsSets).map((segment) => [segment, validObjects(segment)]));
}

function isEmpty(objects: ReadonlyMap<ReadSegment, Bitmap>, segment: ReadSegment): boolean {
  return objects.get(segment)?.every((word) => word === 0) === true;
}

/** Adds the values of a segment. @param counted the objects that count; null for all, of which blocks of one value are added apart */
function addValues(counts: ValueCounts, rows: readonly BodyRow[], objects: number, counted: Bitmap | null): void {
  const nested = rows.some(({ kind }) => kind === TermKind.structure) ? emptyBitmap(objects) : null;
  const scalars = nested && emptyBitmap(objects);
  for (const { kind, body } of rows) {
    for (const entry of entriesOf(body, objects)) {
      if (kind === TermKind.structure) {
        if (nested !== null) addEntry(nested, entry, objects);
        continue;
      }
      if (scalars !== null) addEntry(scalars, entry, objects);
      const count = counted === null ? entry.count : countEntry(entry, counted, objects);
      if (count === 0) continue;
      if (kind === TermKind.long) counts.addUnlisted(count);
      else if (!counts.add(kind, entry.value, count)) return;
    }
  }
  if (nested === null || scalars === null || counted === null) return;
  counts.addUnlisted(countOrdinals(intersect(subtract(nested, scalars), counted)));
}

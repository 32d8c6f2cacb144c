import type { Queryable } from '#database';
import type { BlockRequest } from './lookup.js';
import type { PendingCondition } from './index-read-sql.js';
import type { IndexReadStore, ReadSegment, ReadSegments } from './index-read.store.js';
import { fullBitmap, removeOrdinal, type Bitmap } from './ordinals.js';
import { SeqRuns } from './seq-runs.js';

/** How often an operation is tried. */
const ATTEMPTS = 3;
/** Segments of one statement without blocks. */
const STATE_SEGMENTS = 256;

const EVERY_OBJECT: PendingCondition = () => 'true';

/** All segments of a project, newest first, and the pending objects. */
export interface IndexState {
  segments: ReadSegment[];
  pending: bigint[];
}

/**
 * Reads the list of segments without blocks.
 * @returns null where the index is not usable now; `changed` where segments were merged meanwhile
 */
export async function readState(
  store: IndexReadStore,
  projectId: number,
  on?: Queryable,
): Promise<IndexState | null | 'changed'> {
  const state: IndexState = { segments: [], pending: [] };
  let version: string | undefined;
  for (let skip = 0; ; skip += STATE_SEGMENTS) {
    const step = await readNewest(store, projectId, [], { skip, limit: STATE_SEGMENTS }, on);
    if (step.unusable.length > 0) return null;
    if (skip === 0) state.pending = step.pending;
    if ((version ??= step.version) !== step.version) return 'changed';
    state.segments.push(...step.segments);
    if (step.next === null) return state;
  }
}

/** Reads some segments of the list, newest first, with blocks. */
export function readNewest(
  store: IndexReadStore,
  projectId: number,
  requests: readonly BlockRequest[],
  { skip, limit }: { skip: number; limit: number },
  on?: Queryable,
): Promise<ReadSegments> {
  const range = {
    isAscending: false,
    beyondSeq: null,
    skip,
    limit,
    countsOnly: false,
    required: [],
    skipsLargeBlocks: false,
  };
  return store.read(projectId, requests, range, EVERY_OBJECT, on);
}

/** The objects of a segment whose entries are not outdated. */
export function validObjects({ objects, outdated, seqs }: ReadSegment): Bitmap {
  const valid = fullBitmap(objects);
  if (outdated.length === 0) return valid;
  const runs = SeqRuns.from(seqs);
  for (const seq of outdated) {
    const ordinal = runs.ordinalOf(seq);
    if (ordinal !== -1) removeOrdinal(valid, ordinal);
  }
  return valid;
}

/** Whether some entries of a segment are outdated. `outdated` may also name objects of other segments in its range. */
export function hasOutdated({ outdated, seqs }: ReadSegment): boolean {
  if (outdated.length === 0) return false;
  const runs = SeqRuns.from(seqs);
  return outdated.some((seq) => runs.ordinalOf(seq) !== -1);
}

export function numbersOf(segments: readonly ReadSegment[]): string[] {
  return segments.map(({ number }) => number.toString());
}

const COUNT_SEGMENTS = {
  name: 'index.count-segments',
  text: `SELECT count(*) FROM index_segments WHERE project_id = $1 AND number = ANY ($2::bigint[])`,
};

/**
 * Whether all of the segments still exist. A segment never changes, so that what was read of them before is of the same state, whether
 * objects that were pending then have been added to others or not.
 */
export async function areStored(projectId: number, segments: readonly ReadSegment[], on: Queryable): Promise<boolean> {
  const [row] = await on.query<{ count: string }>(COUNT_SEGMENTS, [projectId, numbersOf(segments)]);
  return Number(row?.count) === segments.length;
}

/** Calls an operation again where segments were merged while it ran. @returns null where that happened each time */
export async function retryChanged<T>(operation: () => Promise<T | null | 'changed'>): Promise<T | null> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const result = await operation();
    if (result !== 'changed') return result;
  }
  return null;
}

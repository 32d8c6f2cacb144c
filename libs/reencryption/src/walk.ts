import { FIRST_JOB, type JobPosition } from './sealed-job.store.js';
import type { ObjectPosition, SeqRange } from './sealed-object.store.js';
import type { SealedProject } from './sealed-project.store.js';

/**
 * Where a walk through what a project stores is. It ends when one round after the other has looked at the objects and the deleted objects
 * without finding one to change: an object may be deleted or restored between the two.
 */
export interface Walk {
  project: SealedProject;
  phase: 'objects' | 'deleted' | 'jobs' | 'index' | 'finish' | 'done';
  /** The objects that this pass still has to look at, in ascending order. */
  ranges: readonly SeqRange[];
  /** Those that it left out because their batches were locked, which the next pass looks at. */
  leftOut: readonly SeqRange[];
  /** The stored cursor: all objects up to it are done. */
  cursor: bigint;
  /** The last object that was looked at. */
  highest: bigint;
  /** Deleted objects up to this one were looked at. */
  deleted: ObjectPosition;
  /** Whether deleted objects were left out since the start of the phase. */
  hasLeftOutDeleted: boolean;
  /** Whether there may be deleted objects that have to be changed. */
  needsDeleted: boolean;
  /** Parts of bodies and results of jobs up to this one were looked at. */
  job: JobPosition;
  /** Segments of the index with a smaller number may have entries of former values; null until the others were looked at. */
  segmentsBelow: bigint | null;
  /** How often something was looked at again, because others work on it, without a change since. */
  retries: number;
  /** The objects that were changed in all, and those of them that may be pending in the index. */
  changed: number;
  unindexed: number;
}

const SEQ_MAX = 2n ** 63n - 1n;
/** Beyond it, the last range also has what is between it and the next one. */
const LEFT_OUT_MAX = 100;
const FIRST: ObjectPosition = { deletionId: 0n, seq: 0n };

export function startWalk(project: SealedProject): Walk {
  const { cursor } = project;
  return {
    project,
    phase: 'objects',
    ranges: [{ after: cursor, until: SEQ_MAX }],
    leftOut: [],
    cursor,
    highest: cursor,
    deleted: FIRST,
    hasLeftOutDeleted: false,
    needsDeleted: true,
    job: FIRST_JOB,
    segmentsBelow: null,
    retries: 0,
    changed: 0,
    unindexed: 0,
  };
}

/** After deleted objects were restored, which may have been looked at as neither of the two. @param cursor before the first of them */
export function afterRestore(walk: Walk, cursor: bigint): Walk {
  const ranges = [{ after: cursor, until: SEQ_MAX }];
  const restarted: Walk = {
    ...walk,
    phase: 'objects',
    ranges,
    leftOut: [],
    cursor,
    highest: cursor,
    needsDeleted: true,
  };
  // Segments with the former values of the restored objects may have been written since.
  return { ...restarted, segmentsBelow: null };
}

/**
 * After someone else has written the row of the project, and the cursor is the same. If it was a restore, its objects come after the cursor,
 * also between the ranges, so that everything is looked at that was not since. Where nothing was left out, that is the same walk.
 */
export function afterOtherWrite(walk: Walk): Walk {
  const { cursor, highest } = walk;
  const at = walk.ranges[0]?.after ?? highest;
  return {
    ...walk,
    ranges: [{ after: at, until: SEQ_MAX }],
    leftOut: cursor < at ? [{ after: cursor, until: at }] : [],
  };
}

/** What a step has done with the next objects. */
interface Step {
  /** The last one that was looked at. */
  seq: bigint;
  changed: number;
  /** Those that have to be changed, and were locked; null for none. */
  leftOut: SeqRange | null;
}

/** After objects of the first range were looked at. */
export function afterObjects(walk: Walk, { seq, changed, leftOut }: Step): Walk {
  const [first, ...others] = walk.ranges;
  if (first === undefined) throw new Error('there are no objects to look at');
  const allLeftOut = leftOut === null ? walk.leftOut : withRange(walk.leftOut, leftOut);
  return {
    ...walk,
    ranges: seq < first.until ? [{ ...first, after: seq }, ...others] : others,
    leftOut: allLeftOut,
    cursor: allLeftOut[0]?.after ?? seq,
    highest: seq > walk.highest ? seq : walk.highest,
    needsDeleted: walk.needsDeleted || changed > 0,
    retries: changed > 0 ? 0 : walk.retries,
    changed: walk.changed + changed,
    unindexed: walk.unindexed + changed,
  };
}

/** After the last object of the first range. Those that were left out are looked at again, and no others. */
export function afterRange(walk: Walk): Walk {
  const ranges = walk.ranges.slice(1);
  if (ranges.length > 0) return { ...walk, ranges };
  if (walk.leftOut.length > 0) return { ...walk, ranges: walk.leftOut, leftOut: [], retries: walk.retries + 1 };
  const { highest } = walk;
  const done: Walk = { ...walk, phase: 'jobs', ranges: [{ after: highest, until: SEQ_MAX }], cursor: highest };
  if (!walk.needsDeleted) return done;
  return { ...done, phase: 'deleted', deleted: FIRST, hasLeftOutDeleted: false, needsDeleted: false };
}

/** After deleted objects were looked at. @param deleted the last one; null where there are no more */
export function afterDeleted(walk: Walk, deleted: ObjectPosition | null, changed: number, hasLeftOut: boolean): Walk {
  const hasLeftOutDeleted = walk.hasLeftOutDeleted || hasLeftOut;
  const retries = changed > 0 ? 0 : walk.retries;
  const next = { ...walk, retries, changed: walk.changed + changed, hasLeftOutDeleted };
  if (deleted !== null) return { ...next, deleted };
  return {
    ...next,
    phase: 'objects',
    needsDeleted: hasLeftOutDeleted,
    retries: hasLeftOutDeleted ? retries + 1 : retries,
  };
}

/** After a segment of the index was looked for. */
export function afterSegment(walk: Walk, found: 'dropped' | 'busy' | 'none'): Walk {
  switch (found) {
    case 'dropped':
      return { ...walk, retries: 0 };
    case 'busy':
      return { ...walk, retries: walk.retries + 1 };
    default:
      return { ...walk, phase: 'finish' };
  }
}

function withRange(ranges: readonly SeqRange[], added: SeqRange): SeqRange[] {
  const last = ranges.at(-1);
  if (last !== undefined && (last.until === added.after || ranges.length === LEFT_OUT_MAX)) {
    return [...ranges.slice(0, -1), { ...last, until: added.until }];
  }
  return [...ranges, added];
}

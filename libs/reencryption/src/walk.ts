import { FIRST_JOB, type JobPosition } from './sealed-job.store.js';
import type { DeletedPosition } from './sealed-object.store.js';
import type { SealedProject } from './sealed-project.store.js';

/**
 * Where a walk through what a project stores is. It ends when one round after the other has looked at the objects and the deleted objects
 * without finding one to change: an object may be deleted or restored between the two.
 */
export interface Walk {
  project: SealedProject;
  phase: 'objects' | 'deleted' | 'jobs' | 'index' | 'finish';
  /** Objects up to this one were looked at. */
  seq: bigint;
  /** The stored cursor: the same, or before the first one that was left out because its batch was locked. */
  cursor: bigint;
  /** Whether objects or deleted objects were left out since the start of the phase. */
  hasLeftOut: boolean;
  /** Deleted objects up to this one were looked at. */
  deleted: DeletedPosition;
  /** Whether there may be deleted objects that have to be changed. */
  needsDeleted: boolean;
  /** Parts of bodies and results of jobs up to this one were looked at. */
  job: JobPosition;
  /** Segments of the index with a smaller number may have entries of former values; null until the others were looked at. */
  segmentsBelow: bigint | null;
  /** Whether something else works on the index, so that it has to be looked at again. */
  isBusy: boolean;
  /** The objects that were changed in all, and those of them that may be pending in the index. */
  changed: number;
  unindexed: number;
  /** The time that all steps took. */
  workedMs: number;
}

const FIRST: DeletedPosition = { deletionId: 0n, seq: 0n };

export function startWalk(project: SealedProject): Walk {
  const { cursor } = project;
  const counts = { changed: 0, unindexed: 0, workedMs: 0 };
  return {
    project,
    phase: 'objects',
    seq: cursor,
    cursor,
    hasLeftOut: false,
    deleted: FIRST,
    needsDeleted: true,
    job: FIRST_JOB,
    segmentsBelow: null,
    isBusy: false,
    ...counts,
  };
}

/** After deleted objects were restored, which may have been looked at as neither of the two. @param cursor before the first of them */
export function afterRestore(walk: Walk, cursor: bigint): Walk {
  return { ...walk, phase: 'objects', seq: cursor, cursor, needsDeleted: true };
}

/** After objects were looked at. */
export function afterObjects(walk: Walk, seq: bigint, changed: number, hasLeftOut: boolean): Walk {
  const leavesOut = walk.hasLeftOut || hasLeftOut;
  return {
    ...walk,
    seq,
    cursor: leavesOut ? walk.cursor : seq,
    hasLeftOut: leavesOut,
    needsDeleted: walk.needsDeleted || changed > 0,
    changed: walk.changed + changed,
    unindexed: walk.unindexed + changed,
  };
}

/** After the last object: those that were left out are looked at again. */
export function afterLastObject(walk: Walk): Walk {
  if (walk.hasLeftOut) return { ...walk, seq: walk.cursor, hasLeftOut: false };
  return walk.needsDeleted
    ? { ...walk, phase: 'deleted', deleted: FIRST, needsDeleted: false }
    : { ...walk, phase: 'jobs' };
}

/** After deleted objects were looked at. @param deleted the last one; null where there are no more */
export function afterDeleted(walk: Walk, deleted: DeletedPosition | null, changed: number, hasLeftOut: boolean): Walk {
  const leavesOut = walk.hasLeftOut || hasLeftOut;
  const next = { ...walk, changed: walk.changed + changed };
  if (deleted !== null) return { ...next, deleted, hasLeftOut: leavesOut };
  return { ...next, phase: 'objects', hasLeftOut: false, needsDeleted: leavesOut };
}

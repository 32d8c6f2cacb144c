import { Problem, type InputError } from '#http';
import type { BatchSource, Rejected } from './batch-source.js';
import type { Conflict } from './batch-write.store.js';

/** What stood in the way was gone when we looked: deleted meanwhile, or its transaction was rolled back. */
export class ConflictGone extends Problem {}

/** One for each of the listed ids, with a pointer to it. */
function conflictErrors(conflicts: readonly Conflict[], source: BatchSource): InputError[] {
  return conflicts.map(({ place, object_id, exists }) => ({
    pointer: `${source.pointerOf(Number(place))}/object_id`,
    detail: exists ? `"${object_id}" exists already` : `"${object_id}" stands in this batch already`,
  }));
}

/** How many ids are taken in all. */
function totalOf(conflicts: readonly Conflict[]): number {
  return Number(conflicts[0]?.total ?? 0);
}

/** Counts objects that were left out among the rejected ones. */
export function reject(rejected: Rejected, conflicts: readonly Conflict[], source: BatchSource): void {
  const errors = conflictErrors(conflicts, source);
  for (const error of errors) rejected.add([error]);
  const unlisted = totalOf(conflicts) - errors.length;
  rejected.errorCount += unlisted;
  rejected.objects += unlisted;
}

/** @param before what is in the way beside the objects */
export function conflictProblem(
  conflicts: readonly Conflict[],
  source: BatchSource,
  before: readonly InputError[] = [],
): Problem {
  const errorCount = before.length + totalOf(conflicts);
  const ids = errorCount === 1 ? 'One of the ids sent is taken' : `${String(errorCount)} of the ids sent are taken`;
  const errors = [...before, ...conflictErrors(conflicts, source)];
  return new Problem('conflict', { detail: `${ids}; nothing was stored.`, errors, errorCount });
}

export function otherContent(batchId: string): Problem {
  return new Problem('conflict', {
    detail:
      'The batch exists with other content; ?on_conflict=replace puts this in its place, skip adds what is missing.',
    errors: [{ pointer: '/batch_id', detail: `"${batchId}" exists already, with other content` }],
  });
}

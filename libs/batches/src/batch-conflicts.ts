import { checkPreconditions, Problem, type InputError, type Preconditions } from '#http';
import type { Config } from '#platform';
import type { BatchRow } from '#store';
import type { BatchInput, RejectedObjects } from './batch-input.js';
import { batchEtag } from './batch-wire.js';
import type { Conflict } from './batch-write.store.js';

/** Adds objects that are left out because of a conflict. */
export function rejectConflicts(rejected: RejectedObjects, conflicts: readonly Conflict[], input: BatchInput): void {
  for (const error of conflictErrors(conflicts, input)) rejected.add(error);
  rejected.count += totalOf(conflicts) - conflicts.length;
  rejected.objects += totalOf(conflicts);
}

/** @param batchErrors conflicts other than those of the objects */
export function conflictProblem(
  conflicts: readonly Conflict[],
  input: BatchInput,
  batchErrors: readonly InputError[] = [],
): Problem {
  const errors = [...batchErrors, ...conflictErrors(conflicts, input)];
  const errorCount = batchErrors.length + totalOf(conflicts);
  const [only] = errors;
  if (errorCount === 1 && only !== undefined) {
    return new Problem('conflict', { detail: `${only.detail}; nothing was stored.`, errors });
  }
  const isExisting = batchErrors.length > 0 || conflicts.some(({ exists }) => exists);
  const isRepeated = conflicts.some(({ exists }) => !exists);
  const reasons = [...(isExisting ? ['exist already'] : []), ...(isRepeated ? ['appear twice in this request'] : [])];
  const detail = `${String(errorCount)} of the ids sent ${reasons.join(' or ')}; nothing was stored.`;
  return new Problem('conflict', { detail, errors, errorCount });
}

export function differentContent(batchId: string): Problem {
  return new Problem('conflict', {
    detail:
      `The batch "${batchId}" exists already, with other content. ` +
      'Use on_conflict=replace to replace it, or on_conflict=skip to add only the objects that do not exist.',
    errors: [{ pointer: '/batch_id', detail: `"${batchId}" exists already, with other content` }],
  });
}

/** One error for each of the listed conflicts, with a pointer to the id. */
function conflictErrors(conflicts: readonly Conflict[], input: BatchInput): InputError[] {
  return conflicts.map((conflict) => ({
    pointer: `${input.pointerTo(Number(conflict.position))}/object_id`,
    detail: `"${conflict.object_id}" ${reasonOf(conflict)}`,
  }));
}

function reasonOf({ exists, is_elsewhere: isElsewhere }: Conflict): string {
  if (!exists) return 'appears twice in this request';
  return isElsewhere ? 'exists already in another batch' : 'exists already';
}

/** Number of conflicts, those that are not listed included. */
function totalOf(conflicts: readonly Conflict[]): number {
  return Number(conflicts[0]?.total ?? 0);
}

/** @throws Problem precondition-failed, precondition-required. @param batch null where none is stored */
export function requirePreconditions(
  { preconditions }: { preconditions?: Preconditions | undefined },
  batch: BatchRow | null,
  rules: Config['rules'],
): void {
  if (preconditions === undefined) return;
  checkPreconditions(preconditions, batch && batchEtag(batch.revision), rules);
}

import type { LoadOutcome } from './batch-client.js';
import { rateOf } from './load-progress.js';

/** What became of a load; in files, but for objects and time. */
export interface LoadResult {
  stored: number;
  objectsStored: number;
  already: number;
  /** Batches that were there with other content, and were replaced or added to. */
  changed: number;
  /** Batches that were there, and may have been replaced or added to. */
  kept: number;
  rejected: number;
  /** Objects that were left out of batches that are stored in part. */
  objectsRejected: number;
  /** JSON of a folder that is not a batch. */
  skipped: number;
  /** Not sent, or sent without an answer: a signal or a lost server came before. */
  unfinished: number;
  elapsedMs: number;
  /** Where what was rejected stands; undefined when nothing was. */
  rejectsPath: string | undefined;
  /** What ended the load before all files were done. */
  error: Error | undefined;
}

/** How what is said depends on what was asked for. */
export interface Wording {
  isDryRun: boolean;
  onConflict: 'replace' | 'skip' | undefined;
}

/** What became of one batch that is stored, to follow its name. */
export function lineOf(
  { kind, objects, oldObjects, rejectedObjects }: LoadOutcome,
  { isDryRun, onConflict }: Wording,
): string {
  const count = counted(objects, 'object', 's');
  const rest = rejectedObjects > 0 ? `, ${counted(rejectedObjects, 'object', 's')} rejected` : '';
  if (kind === 'already') return `already stored (${count})${rest}`;
  if (kind === 'kept') return `already stored, or ${onConflict === 'skip' ? 'added to' : 'replaced'} (${count})${rest}`;
  const old = oldObjects > 0 ? `, ${counted(oldObjects, 'object', 's')} already stored` : '';
  if (kind === 'stored') return `${isDryRun ? 'would store' : 'stored'} ${count}${old}${rest}`;
  if (onConflict === 'replace') return `${isDryRun ? 'would be replaced' : 'replaced'} (${count})${rest}`;
  // Only a dry run tells it.
  return `what is missing would be added (${count})${rest}`;
}

/** One line for a whole load. */
export function summaryOf(result: LoadResult, { isDryRun, onConflict }: Wording): string {
  const { stored, objectsStored, already, changed, kept, rejected, objectsRejected, skipped, unfinished } = result;
  const seconds = (result.elapsedMs / 1000).toFixed(1);
  const rate = `${seconds} s, ${rateOf(objectsStored, result.elapsedMs)} objects/s`;
  const verb = isDryRun ? 'would store' : 'stored';
  const parts = [`${verb} ${counted(objectsStored, 'object', 's')} in ${counted(stored, 'batch', 'es')} (${rate})`];
  if (already > 0) parts.push(`${counted(already, 'batch', 'es')} already stored`);
  if (changed > 0) parts.push(`${counted(changed, 'batch', 'es')} ${isDryRun ? 'would be changed' : 'changed'}`);
  if (kept > 0)
    parts.push(`${counted(kept, 'batch', 'es')} already stored or ${onConflict === 'skip' ? 'added to' : 'replaced'}`);
  if (rejected > 0) parts.push(`${String(rejected)} rejected`);
  if (objectsRejected > 0) parts.push(`${counted(objectsRejected, 'object', 's')} left out`);
  if (skipped > 0) parts.push(`${counted(skipped, 'file', 's')} skipped, not a batch`);
  if (unfinished > 0) parts.push(`${String(unfinished)} not finished`);
  return parts.join('; ');
}

function counted(count: number, noun: string, plural: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : plural}`;
}

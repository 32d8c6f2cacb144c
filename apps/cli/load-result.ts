import type { BatchResult } from './batch-client.js';
import { perSecond } from './load-meter.js';

/** The result of a load: numbers of files, except for objects and time. */
export interface LoadResult {
  stored: number;
  unchanged: number;
  /** Batches that existed with as many objects and were not sent. */
  notCompared: number;
  /** Batches that existed with other content and were replaced. */
  changed: number;
  /** Batches that existed and got objects. */
  extended: number;
  /** Batches that existed and may have been replaced or extended. */
  unchangedOrChanged: number;
  rejected: number;
  /** JSON files of a folder that are not batches. */
  skipped: number;
  /** Not sent, or sent without a response, because of a signal or a lost connection. */
  unfinished: number;
  objectsStored: number;
  /** Objects that `--on-conflict skip` left out. */
  objectsSkipped: number;
  /** Objects that were left out of partially stored batches. */
  objectsRejected: number;
  /** Errors that are not in the file of rejects, because the server lists only the first of each batch. */
  errorsUnlisted: number;
  elapsedMs: number;
  /** The file of rejects; undefined when there are none. */
  rejectsPath: string | undefined;
  /** The error that ended the load early. */
  error: Error | undefined;
}

/** The options that the wording of results depends on. */
export interface ResultOptions {
  isDryRun: boolean;
  onConflict: 'replace' | 'skip' | undefined;
}

/** Describes the result of one batch that was not rejected, for the line that begins with its file name. */
export function describeBatch(
  { kind, objectCount, skippedCount, existingCount, rejectedCount }: BatchResult,
  { isDryRun, onConflict }: ResultOptions,
): string {
  const count = counted(objectCount, 'object', 's');
  const skipped = skippedCount > 0 ? `, skipped ${counted(skippedCount, 'object', 's')} whose id exists` : '';
  const rest = skipped + (rejectedCount > 0 ? `, ${counted(rejectedCount, 'object', 's')} rejected` : '');
  if (kind === 'unchanged' && skippedCount > 0) return `no new objects${rest}`;
  if (kind === 'unchanged') return `already stored (${count})${rest}`;
  if (kind === 'notCompared') return `exists with ${count}, not compared`;
  if (kind === 'unchangedOrChanged') {
    return `already stored or ${onConflict === 'replace' ? 'replaced' : 'extended'} (${count})${rest}`;
  }
  const existing = existingCount > 0 ? `, ${counted(existingCount, 'object', 's')} already stored` : '';
  if (kind === 'stored') return `${isDryRun ? 'would store' : 'stored'} ${count}${existing}${rest}`;
  if (kind === 'extended') return `${isDryRun ? 'would be extended' : 'extended'} by ${count}${rest}`;
  return `${isDryRun ? 'would be replaced' : 'replaced'} (${count})${rest}`;
}

/** Says where the rejects are, and what is missing there. */
export function describeRejects(path: string, errorsUnlisted: number): string {
  const rest = errorsUnlisted > 0 ? `, without ${counted(errorsUnlisted, 'error', 's')} that are not listed` : '';
  return `rejects are in ${path}${rest}`;
}

/** Describes the result of a load in one line. */
export function summarize(result: LoadResult, { isDryRun, onConflict }: ResultOptions): string {
  const { stored, extended, objectsStored, unchanged, notCompared, changed, unchangedOrChanged } = result;
  const { rejected, objectsSkipped, objectsRejected, skipped, unfinished } = result;
  const seconds = (result.elapsedMs / 1000).toFixed(1);
  const rate = `${seconds} s, ${perSecond(objectsStored, result.elapsedMs)} objects/s`;
  const verb = isDryRun ? 'would store' : 'stored';
  const batches = counted(stored + extended, 'batch', 'es');
  const parts = [`${verb} ${counted(objectsStored, 'object', 's')} in ${batches} (${rate})`];
  if (unchanged > 0) parts.push(`${counted(unchanged, 'batch', 'es')} already stored`);
  if (notCompared > 0) parts.push(`${counted(notCompared, 'batch', 'es')} not compared`);
  if (changed > 0) parts.push(`${counted(changed, 'batch', 'es')} ${isDryRun ? 'would be changed' : 'changed'}`);
  if (extended > 0) parts.push(`${counted(extended, 'batch', 'es')} ${isDryRun ? 'would be extended' : 'extended'}`);
  if (unchangedOrChanged > 0) {
    const change = onConflict === 'replace' ? 'replaced' : 'extended';
    parts.push(`${counted(unchangedOrChanged, 'batch', 'es')} already stored or ${change}`);
  }
  if (objectsSkipped > 0) parts.push(`${counted(objectsSkipped, 'object', 's')} skipped, whose ids exist`);
  if (rejected > 0) parts.push(`${counted(rejected, 'file', 's')} rejected`);
  if (objectsRejected > 0) parts.push(`${counted(objectsRejected, 'object', 's')} left out`);
  if (skipped > 0) parts.push(`${counted(skipped, 'file', 's')} skipped, not a batch`);
  if (unfinished > 0) parts.push(`${counted(unfinished, 'file', 's')} not finished`);
  return parts.join('; ');
}

function counted(count: number, noun: string, plural: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : plural}`;
}

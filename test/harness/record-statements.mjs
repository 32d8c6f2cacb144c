/**
 * Loaded by a process of the product before the product, with `--import` and the folder of the run in the query of its URL: an environment
 * variable could be one of the settings that a spec tests. Worker threads are started with the same arguments, and send no statements.
 */
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  const { recordStatements } = await import('./statement-tap.mjs');
  recordStatements(new URL(import.meta.url).searchParams.get('folder'));
}

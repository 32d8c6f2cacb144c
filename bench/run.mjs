/**
 * Measures the figures of bench/README.md: all with `npm run bench`, some with `npm run bench -- copy async`.
 * Each figure is a ratio to plain SQL through `pg`, or to another server, within the same run, because machines differ and
 * are shared. BENCH_OBJECTS sets the size of the table (default 1,000,000). BENCH_KEEP is a folder whose database is kept for the
 * next run.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchAsync } from './async.mjs';
import { benchAverages } from './averages.mjs';
import { benchBackup } from './backup.mjs';
import { benchBrowse } from './browse.mjs';
import { benchBusy } from './busy.mjs';
import { benchChanges } from './changes.mjs';
import { benchCopy } from './copy.mjs';
import { benchCsv } from './csv.mjs';
import { benchDeletes } from './deletes.mjs';
import { benchEncryption } from './encryption.mjs';
import { benchFairness } from './fairness.mjs';
import { benchReadings } from './feeds.mjs';
import { benchGuard } from './guard.mjs';
import { benchIngest, closeConnections } from './ingest.mjs';
import { benchObservability } from './observability.mjs';
import { benchProcesses } from './processes.mjs';
import { benchQuestions } from './questions.mjs';
import { benchReads } from './reads.mjs';
import { benchSingle } from './single.mjs';
import { startStack } from './stack.mjs';
import { benchStart } from './start.mjs';
import { benchThreads } from './threads.mjs';
import { benchWebhooks } from './webhooks.mjs';

/** The reads follow the ingest directly, while the table has the size of BENCH_OBJECTS. */
const PARTS = {
  ingest: benchIngest,
  reads: benchReads,
  single: benchSingle,
  busy: benchBusy,
  copy: benchCopy,
  csv: benchCsv,
  backup: benchBackup,
  async: benchAsync,
  readings: benchReadings,
  averages: benchAverages,
  fairness: benchFairness,
  guard: benchGuard,
  threads: benchThreads,
  changes: benchChanges,
  observability: benchObservability,
};
/** Run by name only: their tables have other objects, or they start servers of their own. */
const ALONE = {
  questions: benchQuestions,
  browse: benchBrowse,
  processes: benchProcesses,
  start: benchStart,
  encryption: benchEncryption,
  deletes: benchDeletes,
  webhooks: benchWebhooks,
};
/** These read the objects that the ingest has stored. */
const READERS = ['reads', 'single', 'busy'];
const wanted = process.argv.slice(2);
const kept = process.env.BENCH_KEEP;
if (kept !== undefined) await mkdir(kept, { recursive: true });
const folder = kept ?? (await mkdtemp(join(tmpdir(), 'stowage-bench-')));
const stack = await startStack(folder);
try {
  console.log(
    `Node ${process.version}, ${os.cpus().length} cores, load ${os
      .loadavg()
      .map((load) => load.toFixed(2))
      .join(' ')}`,
  );
  for (const [name, bench] of Object.entries(PARTS)) {
    const isNeeded = name === 'ingest' && READERS.some((part) => wanted.includes(part));
    if (wanted.length === 0 || wanted.includes(name) || isNeeded) await bench(stack);
  }
  for (const [name, bench] of Object.entries(ALONE)) if (wanted.includes(name)) await bench(stack);
  console.log(
    `load after the run ${os
      .loadavg()
      .map((load) => load.toFixed(2))
      .join(' ')}`,
  );
} finally {
  await closeConnections();
  await stack.stop();
  if (kept === undefined) await rm(folder, { recursive: true, force: true });
}

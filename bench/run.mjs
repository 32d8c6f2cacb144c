/**
 * The figures of bench/README.md: `npm run bench`, or `npm run bench -- copy async` for some of them.
 * Everything is a ratio within one run against plain SQL through `pg` on the same database, because machines differ and
 * are shared; BENCH_OBJECTS sets the size of the table (default 1,000,000).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchAsync } from './async.mjs';
import { benchAverages } from './averages.mjs';
import { benchBusy } from './busy.mjs';
import { benchCopy } from './copy.mjs';
import { benchReadings } from './feeds.mjs';
import { benchIngest, closeConnections } from './ingest.mjs';
import { benchReads } from './reads.mjs';
import { benchSingle } from './single.mjs';
import { startStack } from './stack.mjs';

/** The reads come first, while the table has the size that is said. */
const PARTS = {
  ingest: benchIngest,
  reads: benchReads,
  single: benchSingle,
  busy: benchBusy,
  copy: benchCopy,
  async: benchAsync,
  readings: benchReadings,
  averages: benchAverages,
};
/** They read what the ingest has stored. */
const READERS = ['reads', 'single', 'busy'];
const wanted = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), 'stowage-bench-'));
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
  console.log(
    `load at the end ${os
      .loadavg()
      .map((load) => load.toFixed(2))
      .join(' ')}`,
  );
} finally {
  await closeConnections();
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
}

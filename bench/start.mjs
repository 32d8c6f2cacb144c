import { mkdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import { join } from 'node:path';
import { percentile, startServer } from './stack.mjs';

const RUNS = 5;
/** The unit of the times in /proc. */
const TICK_MS = 10;

/**
 * The start of a server on an embedded database that exists: from the start of the process to the first 200 of `/health/ready`.
 * PostgreSQL is stopped before each run.
 */
export async function benchStart({ folder }) {
  const own = join(folder, 'start');
  await mkdir(own, { recursive: true });
  const settings = { STOWAGE_DATA_DIR: own, STOWAGE_SEED: 'false', LOG_LEVEL: 'warn', METRICS_PORT: '0' };
  // Creates the database.
  await (await startServer(settings)).stop();
  const runs = [];
  for (let run = 0; run < RUNS; run++) runs.push(await measureStart(settings));
  const ready = runs.map(({ readyMs }) => Math.round(readyMs)).sort((a, b) => a - b);
  const middle = (name) =>
    Math.round(
      percentile(
        runs.map((figures) => figures[name]),
        0.5,
      ),
    );
  console.log(
    `cold start to ready: ${ready.join(', ')} ms; p50: PostgreSQL is started after ${middle('postgresMs')} ms, all modules are loaded after ` +
      `${middle('loadedMs')} ms; processor time of the server ${middle('cpuMs')} ms; load ${os.loadavg()[0].toFixed(1)}`,
  );
}

async function measureStart(settings) {
  const startedAt = performance.now();
  const after = () => performance.now() - startedAt;
  const figures = {};
  const { server, url, stop } = await startServer(settings, 'inherit', (line) => {
    if (line.startsWith('starting PostgreSQL')) figures.postgresMs = after();
    // The first line of the part that is loaded while PostgreSQL starts.
    if (line.startsWith('metrics are at')) figures.loadedMs = after();
  });
  try {
    const { status } = await fetch(new URL('/health/ready', url));
    if (status !== 200) throw new Error(`/health/ready: ${status}`);
    figures.readyMs = after();
    figures.cpuMs = await processorMs(server.pid);
  } finally {
    await stop();
  }
  return figures;
}

async function processorMs(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return (Number(user) + Number(system)) * TICK_MS;
}

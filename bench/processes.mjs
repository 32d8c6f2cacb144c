import { Agent } from 'node:http';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { makeBatch } from './data.mjs';
import { send } from './send.mjs';
import { percentile, startStack } from './stack.mjs';

const BATCH = 5_000;
const CLIENTS = 8;
const BATCHES_OF_CLIENT = 2;
const CONNECTIONS = 32;
const SECONDS = 5;
const TURNS = 3;
const COUNTS = [1, 2];

/**
 * Ingest of batches and reads of one object, with a server of one process and of two in turns, on one database of its own. The client
 * and PostgreSQL use the same processors.
 */
export async function benchProcesses({ folder }) {
  const own = join(folder, 'processes');
  await mkdir(own, { recursive: true });
  const figures = new Map(COUNTS.map((processes) => [processes, { ingest: [], reads: [] }]));
  for (let turn = 0; turn < TURNS; turn++) {
    for (const processes of COUNTS) {
      const stack = await startStack(own, { WEB_CONCURRENCY: String(processes) });
      try {
        await ingest(stack);
        const { ingest: ingested, reads } = figures.get(processes);
        ingested.push(await ingest(stack));
        reads.push(await read(stack));
      } finally {
        await stack.stop();
      }
    }
  }
  const [one, several] = COUNTS.map((processes) => figures.get(processes));
  report(`ingest of ${BATCH}-object batches at ${CLIENTS} clients, objects/s`, one.ingest, several.ingest);
  report(`GET of one object over ${CONNECTIONS} connections, requests/s`, one.reads, several.reads);
}

function report(what, one, several) {
  const [a, b] = [percentile(one, 0.5), percentile(several, 0.5)];
  const figure = (value) => Math.round(value).toLocaleString('en');
  console.log(`${what}: 1 process ${figure(a)}, ${COUNTS.at(-1)} processes ${figure(b)}: ratio ${(b / a).toFixed(2)}`);
}

/** @returns objects per second */
async function ingest(stack) {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  const bodies = Array.from({ length: CLIENTS * BATCHES_OF_CLIENT }, () => Buffer.from(makeBatch(BATCH).text));
  const start = performance.now();
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let body = bodies.pop(); body !== undefined; body = bodies.pop())
        await send(stack, 'POST', '/batches', 'application/json', body, { agent });
    }),
  );
  const seconds = (performance.now() - start) / 1_000;
  agent.destroy();
  return (CLIENTS * BATCHES_OF_CLIENT * BATCH) / seconds;
}

/** @returns requests per second */
async function read(stack) {
  const { rows } = await stack.sql.query(
    'SELECT object_id FROM objects WHERE project_id = $1 ORDER BY seq DESC LIMIT 1000',
    [stack.projectId],
  );
  let next = 0;
  const result = await autocannon({
    url: stack.url,
    connections: CONNECTIONS,
    duration: SECONDS,
    headers: { 'X-Api-Key': stack.adminKey },
    requests: [
      {
        setupRequest: (request) => ({
          ...request,
          path: `${new URL(stack.url).pathname}/objects/${rows[next++ % rows.length].object_id}`,
        }),
      },
    ],
  });
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} responses were not 2xx`);
  return result.requests.average;
}

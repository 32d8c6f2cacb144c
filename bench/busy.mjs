import { once } from 'node:events';
import { Agent } from 'node:http';
import { Worker } from 'node:worker_threads';
import { send } from './send.mjs';
import { percentile } from './stack.mjs';

const READS = 1_200;
const CLIENTS = 4;
const BATCH = 5_000;
/** More than can be posted during the reads. */
const BATCHES = 400;

/** Requests of analysts: pages filtered by a pair, with counts, and single objects. */
const pathsOf = (ids) => [
  `/objects?data=${encodeURIComponent('{"type":"shoe"}')}`,
  `/objects?data=${encodeURIComponent('{"rare":"r5000"}')}`,
  ...ids.map((id) => `/objects/${id}`),
];

/** Sequential reads without other load, and while four clients post batches. */
export async function benchBusy(stack) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { rows } = await stack.sql.query('SELECT object_id FROM objects WHERE project_id = $1 LIMIT 2', [
    stack.projectId,
  ]);
  const paths = pathsOf(rows.map((row) => row.object_id));
  const read = async () => {
    const times = [];
    for (let i = 0; i < READS; i++) {
      const start = performance.now();
      await send(stack, 'GET', paths[i % paths.length], undefined, undefined, { agent });
      times.push(performance.now() - start);
    }
    return times;
  };
  await read();
  const quiet = await read();
  const { url, adminKey } = stack;
  const workerData = { stack: { url, adminKey }, clients: CLIENTS, batch: BATCH, count: BATCHES };
  const poster = new Worker(new URL('poster.mjs', import.meta.url), { workerData });
  await once(poster, 'message');
  // Registered before the reads, because the message arrives during them if the batches run out.
  const ended = once(poster, 'message');
  const busy = await read();
  poster.postMessage('stop');
  const [{ posted, seconds, ranOut }] = await ended;
  agent.destroy();
  const line = (times) => `p50 ${percentile(times, 0.5).toFixed(1)} ms, p99 ${percentile(times, 0.99).toFixed(1)} ms`;
  console.log(
    `reads without load ${line(quiet)}; while ${CLIENTS} clients post ${Math.round(posted / seconds).toLocaleString('en')} objects/s ` +
      `${line(busy)}: ratio of p99 ${(percentile(busy, 0.99) / percentile(quiet, 0.99)).toFixed(1)}${ranOut ? ' (the batches ran out)' : ''}`,
  );
}

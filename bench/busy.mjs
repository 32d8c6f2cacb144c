import { Agent } from 'node:http';
import { send } from './copy.mjs';
import { makeBatch } from './data.mjs';
import { percentile } from './stack.mjs';

const READS = 1_500;
const CLIENTS = 4;
const BATCH = 5_000;

/** What analysts ask for: a page by a pair with its count, one by a key, and single objects. */
const PATHS = (ids) => [
  `/objects?data=${encodeURIComponent('{"type":"shoe"}')}`,
  `/objects?data=${encodeURIComponent('{"rare":"r5000"}')}`,
  `/objects/${ids[0]}`,
  `/objects/${ids[1]}`,
];

/** The same reads at rest and while four clients post batches, one after the other on one connection. */
export async function benchBusy(stack) {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS + 1 });
  const { rows } = await stack.sql.query('SELECT object_id FROM objects WHERE project_id = $1 LIMIT 2', [
    stack.projectId,
  ]);
  const paths = PATHS(rows.map((row) => row.object_id));
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
  const rest = await read();
  let isOn = true;
  let posted = 0;
  const ingest = Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (isOn) {
        const body = Buffer.from(makeBatch(BATCH).text);
        await send(stack, 'POST', '/batches', 'application/json', body, { agent });
        posted += BATCH;
      }
    }),
  );
  const start = performance.now();
  const busy = await read();
  const seconds = (performance.now() - start) / 1000;
  isOn = false;
  await ingest;
  agent.destroy();
  const line = (times) => `p50 ${percentile(times, 0.5).toFixed(1)} ms, p99 ${percentile(times, 0.99).toFixed(1)} ms`;
  console.log(
    `reads at rest ${line(rest)}; while ${CLIENTS} clients post ${Math.round(posted / seconds).toLocaleString('en')} objects/s ${line(busy)}: ` +
      `p99 ${(percentile(busy, 0.99) / percentile(rest, 0.99)).toFixed(1)} times`,
  );
}

import { once } from 'node:events';
import { Agent } from 'node:http';
import { Worker } from 'node:worker_threads';
import { startBare } from './bare.mjs';
import { send } from './send.mjs';
import { percentile, residentBytes } from './stack.mjs';

const FLOODS = [
  'compressed batches of 50 MB',
  'invalid bodies of 60 MB',
  'invalid lines',
  'expensive queries',
  'single objects',
  'jobs',
  'bodies to unknown addresses, without a key',
  'unknown keys',
];
const SECONDS = 8;
/** The flood needs a moment to reach its rate. */
const WARM_MS = 2_000;
/** Jobs and queries of a flood go on for a while after it. */
const PAUSE_MS = 10_000;

/**
 * One project, or a stranger, floods the server. Meanwhile another project reads an object, and stores one, one request after the
 * other, and a probe reads /health/live. Both have a connection each. The clients share the processors with the server.
 */
export async function benchFairness(stack) {
  const operator = { ...stack, adminKey: stack.operatorKey };
  const body = (value) => Buffer.from(JSON.stringify(value));
  const json = 'application/json';
  const { project_id } = JSON.parse(await send(operator, 'POST', '/projects', json, body({ name: 'other' })));
  const made = await send(
    operator,
    'POST',
    `/projects/${project_id}/keys`,
    json,
    body({ name: 'other', role: 'admin' }),
  );
  const other = { ...stack, adminKey: JSON.parse(made).key };
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const object = (id) => body({ batch_id: 'b', object_id: id, data: { n: 1 } });
  await send(other, 'POST', '/batches', json, body({ batch_id: 'b', objects: [{ object_id: 'o', data: {} }] }));

  let stored = 0;
  const measure = async () => {
    const times = { read: [], store: [], live: [] };
    let failed = 0;
    const until = performance.now() + SECONDS * 1_000;
    const timed = async (list, work) => {
      const start = performance.now();
      await work().catch(() => failed++);
      list.push(performance.now() - start);
    };
    const probe = async () => {
      const live = { ...stack, url: new URL(stack.url).origin };
      while (performance.now() < until) {
        await timed(times.live, () => send(live, 'GET', '/health/live'));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const work = async () => {
      while (performance.now() < until) {
        await timed(times.read, () => send(other, 'GET', '/objects/o', undefined, undefined, { agent }));
        await timed(times.store, () => send(other, 'POST', '/objects', json, object(`o-${stored++}`), { agent }));
      }
    };
    await Promise.all([probe(), work()]);
    return { times, failed };
  };
  const p99 = (times) => percentile(times, 0.99);

  await measure();
  const rest = await measure();
  const line = ({ read, store, live }) =>
    `p99 of a read ${p99(read).toFixed(1)} ms, of a write ${p99(store).toFixed(1)} ms, of /health/live ${p99(live).toFixed(1)} ms`;
  console.log(`another project at rest: ${line(rest.times)}`);
  for (const flood of FLOODS.filter((name) => name.includes(process.env.BENCH_FLOOD ?? ''))) {
    const worker = new Worker(new URL('flood.mjs', import.meta.url), {
      workerData: { url: stack.url, key: stack.adminKey, flood },
    });
    await once(worker, 'message');
    await new Promise((resolve) => setTimeout(resolve, WARM_MS));
    const { times, failed } = await measure();
    const ended = once(worker, 'message');
    worker.postMessage('stop');
    const [statuses] = await ended;
    await worker.terminate();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const ratios = `ratios ${(p99(times.read) / p99(rest.times.read)).toFixed(1)} and ${(p99(times.store) / p99(rest.times.store)).toFixed(1)}`;
    const memory = Math.round((await residentBytes(stack.serverPid)) / 1e6);
    console.log(
      `  while one sends ${flood}: ${line(times)}; ${ratios}; ${failed} failed; ${memory} MB; responses ${JSON.stringify(statuses)}`,
    );
  }
  agent.destroy();
  await benchBare(stack);
}

/** The same flood of single rows against bare Fastify handlers, to see what two processors leave to another client. */
async function benchBare(stack) {
  await stack.sql.query(`CREATE TABLE IF NOT EXISTS bare_objects (LIKE objects INCLUDING ALL)`);
  const bare = await startBare(stack);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const server = { ...stack, url: bare.url };
  await send(
    stack,
    'POST',
    '/batches',
    'application/json',
    Buffer.from('{"batch_id":"bare","objects":[{"object_id":"bare","data":{}}]}'),
  );
  const measure = async () => {
    const times = [];
    const until = performance.now() + SECONDS * 1_000;
    while (performance.now() < until) {
      const start = performance.now();
      await send(server, 'GET', '/objects/bare', undefined, undefined, { agent });
      times.push(performance.now() - start);
    }
    return percentile(times, 0.99);
  };
  await measure();
  const rest = await measure();
  const worker = new Worker(new URL('flood.mjs', import.meta.url), {
    workerData: { url: bare.url, key: stack.adminKey, flood: 'rows to a bare handler' },
  });
  await once(worker, 'message');
  await new Promise((resolve) => setTimeout(resolve, WARM_MS));
  const flooded = await measure();
  const ended = once(worker, 'message');
  worker.postMessage('stop');
  const [statuses] = await ended;
  await worker.terminate();
  agent.destroy();
  await bare.stop();
  console.log(
    `bare Fastify: p99 of a read at rest ${rest.toFixed(1)} ms, beside a flood of single rows ${flooded.toFixed(1)} ms: ratio ${(flooded / rest).toFixed(1)}; responses ${JSON.stringify(statuses)}`,
  );
}

import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile, startStack } from './stack.mjs';

const QUEUED = 1_000;
const PLAIN = 300;
const PROJECTS = 8;
const BATCHES = 30;
/** How long the slow receiver takes. */
const SLOW_MS = 5_000;

/**
 * Deliveries to receivers on 127.0.0.1, on a server of its own: how many a second, to one webhook and to one of each of several projects; how
 * long after the commit of a batch its event arrives; and the same while the deliveries of another project wait for a slow receiver.
 */
export async function benchWebhooks({ folder }) {
  const receiver = await Receiver.start();
  const stack = await startStack(join(folder, 'webhooks'), { WEBHOOK_ALLOWED_NETWORKS: '127.0.0.1' });
  try {
    const projects = await Promise.all(Array.from({ length: PROJECTS }, () => createProject(stack)));
    const webhooks = [];
    for (const project of projects) webhooks.push(await createWebhook(project, receiver.url(), ['batch.stored']));
    const plain = await plainRate(stack, receiver);
    console.log(`plain SQL and requests, one after the other: ${Math.round(plain)} a second`);
    for (const count of [1, PROJECTS]) {
      const rate = await rateOf(stack, receiver, webhooks.slice(0, count));
      const ratio = (rate / plain).toFixed(2);
      console.log(`${count * QUEUED} deliveries to ${count} webhooks: ${Math.round(rate)} a second, ratio ${ratio}`);
    }
    const [fast] = webhooks;
    const alone = await latencies(receiver, fast);
    const slow = await createProject(stack);
    const slowOnes = [];
    for (let n = 0; n < 20; n++) slowOnes.push(await createWebhook(slow, receiver.url('slow'), ['batch.stored']));
    await queue(stack, slowOnes, QUEUED / 20);
    await receiver.received('/slow', 2);
    const beside = await latencies(receiver, fast);
    const p50 = (ms) => percentile(ms, 0.5);
    const line = (what, ms) =>
      console.log(
        `a stored batch to its receiver, ${what}: p50 ${p50(ms).toFixed(0)} ms, p99 ${percentile(ms, 0.99).toFixed(0)} ms`,
      );
    line('alone', alone);
    line('beside a project whose receiver takes 5 s', beside);
    console.log(`ratio of the latencies: ${(p50(beside) / p50(alone)).toFixed(2)}`);
  } finally {
    await stack.stop();
    receiver.stop();
  }
}

/** Deliveries a second, from the first to the last one. */
async function rateOf(stack, receiver, webhooks) {
  receiver.clear();
  await queue(stack, webhooks, QUEUED);
  const times = await receiver.received('/fast', webhooks.length * QUEUED);
  return (times.length - 1) / ((times.at(-1) - times[0]) / 1000);
}

/** What a delivery needs at least: it is claimed in a transaction, sent over a new connection, and finished in a transaction. */
async function plainRate({ sql }, receiver) {
  await sql.query('CREATE TABLE plain_deliveries (LIKE webhook_deliveries INCLUDING ALL)');
  await sql.query(
    `INSERT INTO plain_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
     SELECT 1, 1, n, 'batch.stored', '{}', 'queued', 0, now() FROM generate_series(1, ${PLAIN}) AS n`,
  );
  const change =
    'UPDATE plain_deliveries SET attempts = 1, due_at = now(), status = $2 WHERE project_id = 1 AND webhook_id = 1 AND delivery_id = $1';
  const startMs = performance.now();
  for (let n = 1; n <= PLAIN; n++) {
    await sql.query(change, [n, 'queued']);
    await new Promise((resolve, reject) => {
      const sent = request(receiver.url(), { method: 'POST', agent: false }, (response) =>
        response.resume().once('end', resolve),
      );
      sent.on('error', reject).end('{}');
    });
    await sql.query(change, [n, 'delivered']);
  }
  return PLAIN / ((performance.now() - startMs) / 1000);
}

async function queue({ sql }, webhooks, count) {
  for (const { projectId, id } of webhooks)
    await sql.query(
      `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
       SELECT $1, $2, n + extract(epoch FROM clock_timestamp())::bigint * 1000000, 'batch.stored', $4, 'queued', 0, now()
       FROM generate_series(1, $3::int) AS n`,
      [projectId, id, count, JSON.stringify({ type: 'batch.stored', data: { batch_id: 'b', objects: 1 } })],
    );
}

let batches = 0;

/** From the response, which follows the commit, until the event has arrived. The pauses spread the writes over the second of a look. */
async function latencies(receiver, { project }) {
  const ms = [];
  for (let round = 0; round < BATCHES; round++) {
    await sleep(Math.random() * 1_000);
    receiver.clear();
    await call(project, 'POST', '/batches', {
      batch_id: `batch-${batches++}`,
      objects: [{ object_id: `o-${batches}`, data: {} }],
    });
    const committed = performance.now();
    const [arrived] = await receiver.received('/fast', 1);
    ms.push(Math.max(0, arrived - committed));
  }
  return ms;
}

async function createProject(stack) {
  const operator = { url: stack.url, key: stack.operatorKey };
  const name = `webhooks-${Math.random()}`;
  const { project_id: projectId } = await call(operator, 'POST', '/projects', { name });
  const { key } = await call(operator, 'POST', `/projects/${projectId}/keys`, { name, role: 'admin' });
  return { url: stack.url, key, projectId };
}

async function createWebhook(project, url, events) {
  const { webhook_id: id } = await call(project, 'POST', '/webhooks', { name: 'w', url, events });
  return { project, projectId: project.projectId, id };
}

async function call({ url, key }, method, path, body) {
  const headers = { 'X-Api-Key': key, 'Content-Type': 'application/json' };
  const response = await fetch(url + path, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
  return response.json();
}

/** Takes note of when requests arrive. */
class Receiver {
  times = { '/fast': [], '/slow': [] };
  waiting = undefined;

  static async start() {
    const receiver = new Receiver();
    receiver.server = createServer((request, response) => {
      receiver.times[request.url].push(performance.now());
      receiver.waiting?.();
      request.resume();
      const delay = request.url === '/slow' ? SLOW_MS : 0;
      if (delay === 0) response.writeHead(204).end();
      else setTimeout(() => response.writeHead(204).end(), delay).unref();
    }).listen(0, '127.0.0.1');
    await once(receiver.server, 'listening');
    return receiver;
  }

  url(kind = 'fast') {
    return `http://127.0.0.1:${this.server.address().port}/${kind}`;
  }

  clear() {
    this.times['/fast'] = [];
  }

  /** The times of the requests, as soon as there are as many. */
  async received(path, count) {
    while (this.times[path].length < count) {
      await new Promise((resolve) => {
        this.waiting = resolve;
      });
    }
    return this.times[path];
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

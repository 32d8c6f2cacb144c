import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { percentile } from './stack.mjs';

const READERS = 1_000;
const ROUNDS = 20;

/**
 * From the response of a write, which follows its commit, until each of 1,000 readers that wait has the change; against a server
 * without anything else that sends the same to as many connections.
 */
export async function benchChanges(stack) {
  await send(stack, 'POST', '/batches', { batch_id: 'changes', objects: [] });
  const { next } = await send(stack, 'GET', '/objects/changes?batch_id=changes');
  const since = `/objects/changes?batch_id=changes&since=${next}`;
  const one = await eventsLatency(stack, since, 1);
  const bare = await bareLatency(READERS);
  const many = await eventsLatency(stack, since, READERS);
  const polls = await pollLatency(stack);
  const p50 = (ms) => percentile(ms, 0.5);
  const line = (name, ms) =>
    console.log(`change to ${name}: p50 ${p50(ms).toFixed(1)} ms, p99 ${percentile(ms, 0.99).toFixed(1)} ms`);
  line('1 reader of events', one);
  line(`${READERS} readers of events`, many);
  line(`${READERS} readers of a bare server`, bare);
  console.log(`ratio to the bare server: ${(p50(bare) / p50(many)).toFixed(2)}`);
  line(`${READERS} readers that wait for a page`, polls);
}

let objects = 0;

/** @returns the time at which the response has arrived */
async function write(stack) {
  await send(stack, 'POST', '/objects', {
    batch_id: 'changes',
    object_id: `change-${objects++}`,
    data: { n: objects },
  });
  return performance.now();
}

async function eventsLatency(stack, since, readers) {
  let awaited = '';
  let received = [];
  let onAll = () => undefined;
  const open = () =>
    new Promise((resolve, reject) => {
      const headers = { 'X-Api-Key': stack.adminKey, Accept: 'text/event-stream' };
      const call = request(stack.url + since, { headers, agent: false }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`returned ${response.statusCode}`));
        response
          .on('error', () => undefined)
          .on('data', (chunk) => {
            if (awaited === '' || !chunk.includes(awaited)) return;
            received.push(performance.now());
            if (received.length === readers) onAll();
          });
        resolve(call);
      });
      call.on('error', reject).end();
    });
  const calls = [];
  for (let count = 0; count < readers; count += 50)
    calls.push(...(await Promise.all(Array.from({ length: Math.min(50, readers) }, open))));
  const ms = [];
  for (let round = 0; round < ROUNDS; round++) {
    received = [];
    awaited = `"change-${objects}"`;
    const all = new Promise((resolve) => (onAll = resolve));
    const committed = await write(stack);
    await within(10_000, all);
    ms.push(...received.map((at) => Math.max(0, at - committed)));
  }
  for (const call of calls) call.on('error', () => undefined).destroy();
  await sleep(1_000);
  return ms;
}

async function pollLatency(stack) {
  const agent = new Agent({ keepAlive: true, maxSockets: READERS });
  const ms = [];
  for (let round = 0; round < ROUNDS / 4; round++) {
    const { next } = await send(stack, 'GET', '/objects/changes?batch_id=changes');
    const path = `/objects/changes?batch_id=changes&since=${next}&wait=30`;
    const arrivals = Array.from({ length: READERS }, () => poll(stack, path, agent));
    await sleep(1_500);
    const committed = await write(stack);
    ms.push(...(await within(10_000, Promise.all(arrivals))).map((at) => Math.max(0, at - committed)));
  }
  agent.destroy();
  return ms;
}

function poll(stack, path, agent) {
  return new Promise((resolve, reject) => {
    const call = request(stack.url + path, { headers: { 'X-Api-Key': stack.adminKey }, agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`returned ${response.statusCode}`));
      response.once('data', () => resolve(performance.now())).resume();
    });
    call.on('error', reject).end();
  });
}

/** A server that does nothing but send what it is told to all connections, in a thread of its own. */
const BARE = `
  const { createServer } = require('node:http');
  const { parentPort } = require('node:worker_threads');
  const streams = new Set();
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('retry: 1000\\n\\n');
      streams.add(response);
      response.on('close', () => streams.delete(response));
      return;
    }
    request.on('data', (body) => {
      response.end('{}');
      const { object_id: id } = JSON.parse(body);
      for (const stream of streams) stream.write('data: {"object_id":"' + id + '"}\\n\\n');
    });
  }).listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`;

async function bareLatency(readers) {
  const worker = new Worker(BARE, { eval: true });
  try {
    const [port] = await once(worker, 'message');
    return await eventsLatency({ url: `http://127.0.0.1:${port}`, adminKey: 'none' }, '/', readers);
  } finally {
    await worker.terminate();
  }
}

async function send({ url, adminKey }, method, path, body) {
  const headers = { 'X-Api-Key': adminKey, 'Content-Type': 'application/json' };
  const response = await fetch(url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${await response.text()}`);
  return response.json();
}

async function within(ms, promise) {
  const timeout = sleep(ms, undefined, { ref: false }).then(() => {
    throw new Error(`not within ${ms} ms`);
  });
  return Promise.race([promise, timeout]);
}

/**
 * A thread that floods the server: `workerData` has the URL, the key, and the name of the flood. It sends requests over as many
 * connections as the flood has until it gets a message, and responds with the number of its responses by status.
 */
import { Agent, request } from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';

const { url, key, flood } = workerData;
const MIB = 1024 * 1024;
const JSON_TYPE = { 'Content-Type': 'application/json' };
const NDJSON_TYPE = { 'Content-Type': 'application/x-ndjson' };
let next = 0;

const fill = (text, bytes) => text.repeat(Math.floor(bytes / text.length));
const objects = (count, size) =>
  Array.from({ length: count }, (_, i) => `{"object_id":"f-${i}","data":{"n":${i},"t":"${'x'.repeat(size)}"}}`).join();

/** Each flood: the connections, and the request that they send. Bodies are made once. */
const FLOODS = {
  'compressed batches of 50 MB': () => {
    const body = gzipSync(`{"batch_id":"flood","objects":[${objects(90_000, 550)}]}`, { level: 1 });
    return [30, () => ['POST', '/batches', { ...JSON_TYPE, 'Content-Encoding': 'gzip' }, body]];
  },
  'invalid bodies of 60 MB': () => {
    const body = Buffer.from(`{"batch_id":"bad","objects":[${fill('{},', 60 * MIB)}x]}`);
    return [10, () => ['POST', '/batches', JSON_TYPE, body]];
  },
  'invalid lines': () => {
    const body = Buffer.from(fill('x\n', 8 * MIB));
    return [10, () => ['PUT', `/batches/lines-${next++}?mode=partial`, NDJSON_TYPE, body]];
  },
  'expensive queries': () => {
    const pairs = JSON.stringify(Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`k${i}`, i])));
    return [40, () => ['GET', `/objects?match=any&count=exact&data=${encodeURIComponent(pairs)}`, {}]];
  },
  'single objects': () => [
    40,
    () => [
      'POST',
      '/batches',
      JSON_TYPE,
      Buffer.from(`{"batch_id":"s-${next}","objects":[{"object_id":"s-${next++}","data":{}}]}`),
    ],
  ],
  'rows to a bare handler': () => [
    40,
    () => ['POST', '/same-row', JSON_TYPE, Buffer.from(`{"temperature":21.5,"recorded_at":"${timeOf(next++)}"}`)],
  ],
  jobs: () => [
    40,
    () => [
      'POST',
      '/batches',
      { ...JSON_TYPE, Prefer: 'respond-async' },
      Buffer.from(`{"batch_id":"j-${next}","objects":[{"object_id":"j-${next++}","data":{}}]}`),
    ],
  ],
  'bodies to unknown addresses, without a key': () => {
    const body = Buffer.alloc(40 * MIB, 'x');
    return [40, () => ['POST', '/nothing', { ...JSON_TYPE, 'X-Api-Key': '' }, body]];
  },
  'unknown keys': () => [100, () => ['GET', '/objects', { 'X-Api-Key': `unknown-${next++}` }]],
};

function timeOf(second) {
  return new Date(Date.UTC(2030, 0, 1) + second * 1_000).toISOString();
}

const [connections, make] = FLOODS[flood]();
const agent = new Agent({ keepAlive: true, maxSockets: connections });
// A connection may also fail after the response, when the server has not read the whole body.
const connect = agent.createConnection.bind(agent);
agent.createConnection = (...options) => connect(...options).on('error', () => undefined);
const statuses = {};
let isStopped = false;

function send() {
  const [method, path, headers, body] = make();
  return new Promise((resolve) => {
    const end = (status) => {
      statuses[status] = (statuses[status] ?? 0) + 1;
      resolve();
    };
    const length = body === undefined ? {} : { 'Content-Length': body.length };
    const call = request(`${url}${path}`, { method, agent, headers: { 'X-Api-Key': key, ...headers, ...length } });
    call.on('response', (response) => {
      response.resume();
      response.once('close', () => end(response.statusCode));
    });
    call.on('error', () => end('broken'));
    call.end(body);
  });
}

parentPort.once('message', () => {
  isStopped = true;
  agent.destroy();
});
parentPort.postMessage('started');
await Promise.all(
  Array.from({ length: connections }, async () => {
    while (!isStopped) await send();
  }),
);
parentPort.postMessage(statuses);

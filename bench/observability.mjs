import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import autocannon from 'autocannon';
import { cpuMicros, spentMicros } from './cpu.mjs';
import { makeBatch } from './data.mjs';
import { send } from './send.mjs';
import { percentile, startServer } from './stack.mjs';

const CONNECTIONS = 8;
const SECONDS = 1.5;
const ROUNDS = 6;
/** A server is scraped once in the time of all its rounds, some 10 s, as Prometheus does. */
const SCRAPED_ROUND = 3;
const OBJECTS = 1_000;

const OFF = { LOG_LEVEL: 'warn', METRICS: 'false', SLOW_STATEMENT_MS: '0' };
const ON = { LOG_LEVEL: 'info' };

/**
 * What logs, metrics and traces cost: servers that differ only in these, on one database, in turns, with reads and writes of single
 * objects, which are the requests that cost least and so suffer most.
 */
export async function benchObservability(stack) {
  const { batchId, text, ids } = makeBatch(OBJECTS);
  await send(stack, 'POST', '/batches', 'application/json', Buffer.from(text));
  const collector = new Worker(new URL('collector.mjs', import.meta.url));
  const [endpoint] = await once(collector, 'message');
  const traces = (ratio) => ({
    ...ON,
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: ratio,
  });
  const log = openSync(join(stack.folder, 'observability.log'), 'w');
  const kinds = {
    off: OFF,
    'logs and metrics': ON,
    'and 10 % of traces': traces('0.1'),
    'and all traces': traces('1'),
  };
  const servers = [];
  // One after the other, because each looks for the running database.
  for (const [kind, settings] of Object.entries(kinds)) {
    servers.push({
      kind,
      ...(await startServer({ STOWAGE_DATA_DIR: stack.dataDir, WORKER: 'separate', ...settings }, log)),
    });
  }
  for (const [what, requestsOf] of [
    ['GET of one object', () => readsOf(ids)],
    ['POST of one object', () => writesOf(batchId)],
    // Before Node.js 24 a read costs more in a process that has traced a write.
    ['GET of one object after the writes', () => readsOf(ids)],
  ]) {
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      const results = new Map();
      // In another order each time: a shared machine is not equally fast all the time.
      for (const one of round % 2 === 0 ? servers : [...servers].reverse()) {
        results.set(one.kind, await load(one, stack, requestsOf(), round === SCRAPED_ROUND));
      }
      rounds.push(results);
    }
    console.log(`${what}, ${CONNECTIONS} connections, of ${ROUNDS} rounds of ${SECONDS} s:`);
    for (const { kind } of servers) {
      const own = rounds.map((results) => results.get(kind));
      const ratio = percentile(
        rounds.map((results) => results.get(kind).requests / results.get('off').requests),
        0.5,
      );
      const cpu = sum(own, 'micros') / sum(own, 'requests');
      const rate =
        percentile(
          own.map(({ requests }) => requests),
          0.5,
        ) / SECONDS;
      console.log(
        `  ${kind.padEnd(20)} ${Math.round(rate)}/s, median ratio to off in the same round ${ratio.toFixed(2)}; ` +
          `${cpu.toFixed(0)} µs of the server's processor per request`,
      );
    }
  }
  for (const { stop } of servers) await stop();
  closeSync(log);
  collector.postMessage('spans');
  const [spans] = await once(collector, 'message');
  console.log(`the collector received ${spans.toLocaleString('en')} spans`);
  await collector.terminate();
}

function readsOf(ids) {
  let next = 0;
  return { setupRequest: (request) => ({ ...request, path: `/api/v1/objects/${ids[next++ % ids.length]}` }) };
}

function writesOf(batchId) {
  return {
    method: 'POST',
    path: '/api/v1/objects',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ batch_id: batchId, data: { type: 'shoe', size: 42 } }),
  };
}

/** @returns the number of requests, and the processor time of the server meanwhile */
async function load({ url, server }, { adminKey, operatorKey }, requests, isScraped) {
  const headers = { 'X-Api-Key': adminKey };
  const before = await cpuMicros([server.pid]);
  const running = autocannon({
    url: new URL(url).origin,
    connections: CONNECTIONS,
    duration: SECONDS,
    headers,
    requests: [{ ...requests, headers: { ...headers, ...requests.headers } }],
  });
  if (isScraped) await fetch(new URL('/metrics', url), { headers: { 'X-Api-Key': operatorKey } });
  const result = await running;
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${result.non2xx} responses were not 2xx, ${result.errors} requests failed`);
  return { requests: result.requests.total, micros: spentMicros(before, await cpuMicros([server.pid])) };
}

function sum(results, member) {
  return results.reduce((total, result) => total + result[member], 0);
}

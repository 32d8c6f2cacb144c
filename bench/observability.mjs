import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import autocannon from 'autocannon';
import { makeBatch } from './data.mjs';
import { send } from './send.mjs';
import { startServer } from './stack.mjs';

const CONNECTIONS = 8;
const SECONDS = 2;
const ROUNDS = 4;
const OBJECTS = 1_000;

const OFF = { LOG_LEVEL: 'warn', METRICS: 'false', SLOW_STATEMENT_MS: '0' };
const ON = { LOG_LEVEL: 'info' };

/**
 * What logs, metrics and traces cost: servers that differ only in these, on one database, in turns, with reads and writes of single
 * objects, which are the requests that cost least and so suffer most. The best of the rounds of each.
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
  ]) {
    const best = new Map();
    for (let round = 0; round < ROUNDS; round++) {
      // In another order each time: a shared machine is not equally fast all the time.
      for (const { kind, url } of round % 2 === 0 ? servers : [...servers].reverse()) {
        const rate = await load(url, stack, requestsOf());
        best.set(kind, Math.max(best.get(kind) ?? 0, rate));
      }
    }
    const off = best.get('off');
    const figures = [...best].map(([kind, rate]) => `${kind} ${Math.round(rate)}/s (${(rate / off).toFixed(2)})`);
    console.log(`${what}, ${CONNECTIONS} connections: ${figures.join(', ')}`);
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

/** @returns requests per second; the metrics are scraped meanwhile */
async function load(url, { adminKey, operatorKey }, requests) {
  const headers = { 'X-Api-Key': adminKey };
  const running = autocannon({
    url: new URL(url).origin,
    connections: CONNECTIONS,
    duration: SECONDS,
    headers,
    requests: [{ ...requests, headers: { ...headers, ...requests.headers } }],
  });
  await fetch(new URL('/metrics', url), { headers: { 'X-Api-Key': operatorKey } });
  const result = await running;
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${result.non2xx} responses were not 2xx, ${result.errors} requests failed`);
  return result.requests.average;
}

import autocannon from 'autocannon';
import { startBare } from './bare.mjs';
import { startInflux } from './influx.mjs';
import { cpuMicros, postgresPids, spentMicros } from './cpu.mjs';

const CONNECTIONS = 16;
const SECONDS = 4;
const ROUNDS = 3;

/**
 * POST of single readings over 16 connections, each durable before its response. Alternates with a bare Fastify handler that
 * runs one INSERT of the same row through `pg`, one that inserts into a typed table, and InfluxDB, if it is installed.
 */
export async function benchReadings(stack) {
  await stack.sql.query(`CREATE TABLE IF NOT EXISTS bare_objects (LIKE objects INCLUDING ALL)`);
  await stack.sql.query(`
    CREATE TABLE IF NOT EXISTS bare_readings (
      room text NOT NULL, recorded_at timestamptz NOT NULL, temperature double precision NOT NULL,
      PRIMARY KEY (room, recorded_at))`);
  const bare = await startBare(stack);
  const influx = await startInflux();
  const room = '/buildings/HQ/rooms/lab/temperatures';
  const ways = {
    Stowage: { url: `${stack.url}${room}`, body: reading, pid: stack.serverPid },
    'bare Fastify, same row': { url: `${bare.url}/same-row`, body: reading, pid: bare.pid },
    'bare Fastify, typed table': { url: `${bare.url}/typed-table`, body: reading, pid: bare.pid },
    ...(influx === null ? {} : { InfluxDB: { url: `${influx.url}/write?db=bench`, body: line, pid: influx.pid } }),
  };
  const best = {};
  const cost = {};
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, { url, body, pid }] of Object.entries(ways)) {
        const processes = async () => [[pid], ...(name === 'InfluxDB' ? [] : [await postgresPids(stack)])];
        const before = await Promise.all((await processes()).map(cpuMicros));
        const { rate, count } = await load(url, body, stack.adminKey);
        const after = await Promise.all((await processes()).map(cpuMicros));
        if (rate <= (best[name] ?? 0)) continue;
        best[name] = rate;
        cost[name] = after.map((now, index) => spentMicros(before[index], now) / count);
      }
    }
  } finally {
    await bare.stop();
    await influx?.stop();
  }
  const rates = Object.entries(best).map(
    ([name, rate]) => `${name} ${Math.round(rate)} (ratio ${(best.Stowage / rate).toFixed(2)})`,
  );
  console.log(`POST of one reading, ${CONNECTIONS} connections, requests/s: ${rates.join(', ')}`);
  const cpu = Object.entries(cost).map(([name, us]) => `${name} ${us.map(Math.round).join(' + ')}`);
  console.log(`  processor time per request in µs (server + PostgreSQL): ${cpu.join(', ')}`);
}

let sent = 0;
const start = Date.parse('2020-01-01T00:00:00Z');

/** Readings have different times, so that none replaces another. */
function reading() {
  const recorded_at = new Date(start + sent++ * 1000).toISOString();
  return { type: 'application/json', text: JSON.stringify({ temperature: 20 + (sent % 100) / 10, recorded_at }) };
}

function line() {
  return {
    type: 'text/plain',
    text: `temperature,room=lab value=${20 + (sent % 100) / 10} ${start + sent++ * 1000}000000`,
  };
}

async function load(url, body, key) {
  const result = await autocannon({
    url,
    connections: CONNECTIONS,
    duration: SECONDS,
    method: 'POST',
    headers: { 'X-Api-Key': key },
    requests: [
      {
        setupRequest: (request) => {
          const { type, text } = body();
          return { ...request, headers: { ...request.headers, 'Content-Type': type }, body: text };
        },
      },
    ],
  });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${url}: ${result.non2xx} responses were not 2xx, ${result.errors} requests failed`);
  return { rate: result.requests.average, count: result.requests.total };
}

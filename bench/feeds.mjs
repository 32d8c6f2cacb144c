import autocannon from 'autocannon';
import { startBare } from './bare.mjs';
import { startInflux } from './influx.mjs';
import { cpuMicros, postgresPids, spentMicros } from './cpu.mjs';

const CONNECTIONS = 16;
const SECONDS = 4;
const ROUNDS = 3;

/**
 * Single readings at 16 connections, each durable before its answer, in turns with a bare Fastify handler that does one
 * INSERT of the same row through `pg`, and one that inserts into a typed table of its own; and InfluxDB, where it is installed.
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
    ours: { url: `${stack.url}${room}`, body: reading, pid: stack.serverPid },
    'bare, the same row': { url: `${bare.url}/same-row`, body: reading, pid: bare.pid },
    'bare, a typed table': { url: `${bare.url}/typed-table`, body: reading, pid: bare.pid },
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
        cost[name] = after.map((now, place) => spentMicros(before[place], now) / count);
      }
    }
  } finally {
    await bare.stop();
    await influx?.stop();
  }
  const told = Object.entries(best).map(
    ([name, rate]) => `${name} ${Math.round(rate)} (ratio ${(best.ours / rate).toFixed(2)})`,
  );
  console.log(`POST of one reading, ${CONNECTIONS} connections, requests/s: ${told.join(', ')}`);
  const cpu = Object.entries(cost).map(([name, us]) => `${name} ${us.map(Math.round).join(' + ')}`);
  console.log(`  processor time a request, in µs (the server, and PostgreSQL where it has one): ${cpu.join(', ')}`);
}

let made = 0;
const start = Date.parse('2020-01-01T00:00:00Z');

/** Each of another time, so that none replaces another. */
function reading() {
  const recorded_at = new Date(start + made++ * 1000).toISOString();
  return { type: 'application/json', text: JSON.stringify({ temperature: 20 + (made % 100) / 10, recorded_at }) };
}

function line() {
  return {
    type: 'text/plain',
    text: `temperature,room=lab value=${20 + (made % 100) / 10} ${start + made++ * 1000}000000`,
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
    throw new Error(`${url}: ${result.non2xx} answers were not 2xx, ${result.errors} failed`);
  return { rate: result.requests.average, count: result.requests.total };
}

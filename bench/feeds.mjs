import autocannon from 'autocannon';
import { startBare } from './bare.mjs';
import { startInflux } from './influx.mjs';
import { percentile } from './stack.mjs';

const CONNECTIONS = 16;
const SECONDS = 4;
const ROUNDS = 3;
const COMMITS = 300;

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
    ours: { url: `${stack.url}${room}`, body: reading },
    'bare, the same row': { url: `${bare.url}/same-row`, body: reading },
    'bare, a typed table': { url: `${bare.url}/typed-table`, body: reading },
    ...(influx === null ? {} : { InfluxDB: { url: `${influx.url}/write?db=bench`, body: line } }),
  };
  const best = {};
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, { url, body }] of Object.entries(ways))
        best[name] = Math.max(best[name] ?? 0, await load(url, body, stack.adminKey));
    }
  } finally {
    await bare.stop();
    await influx?.stop();
  }
  const told = Object.entries(best).map(
    ([name, rate]) => `${name} ${Math.round(rate)} (ratio ${(best.ours / rate).toFixed(2)})`,
  );
  console.log(`POST of one reading, ${CONNECTIONS} connections, requests/s: ${told.join(', ')}`);
  await tellLimit(stack);
}

/** What is left when reading and storing a reading cost nothing: the way of a request, and one commit for all that wait. */
async function tellLimit({ url, adminKey, sql, projectId }) {
  const empty = (await loaded({ url: `${url}/limits`, headers: { 'X-Api-Key': adminKey } })).requests.average;
  const took = [];
  for (let i = 0; i < COMMITS; i++) {
    const start = performance.now();
    await sql.query(
      `INSERT INTO bare_objects (project_id, batch_id, object_id, seq, subject, observed_at, data)
       SELECT $1, 'limit', $2 || n, $3::bigint + n, 'HQ/lab', now() + n * interval '1 second',
         jsonb_build_array(jsonb_build_object('key', 'temperature', 'value', n))
       FROM generate_series(1, ${CONNECTIONS}) AS n`,
      [projectId, `limit-${i}-`, i * CONNECTIONS],
    );
    took.push(performance.now() - start);
  }
  const commitMs = percentile(took, 0.5);
  const limit = (CONNECTIONS * 1000) / ((CONNECTIONS * 1000) / empty + commitMs);
  console.log(
    `  a request that stores nothing: ${Math.round(empty)} a second; ${CONNECTIONS} such rows in one statement and commit: ` +
      `${commitMs.toFixed(2)} ms; together at most ${Math.round(limit)} a second`,
  );
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
  const result = await loaded({
    url,
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
  return result.requests.average;
}

async function loaded(options) {
  const result = await autocannon({ ...options, connections: CONNECTIONS, duration: SECONDS });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${options.url}: ${result.non2xx} answers were not 2xx, ${result.errors} failed`);
  return result;
}

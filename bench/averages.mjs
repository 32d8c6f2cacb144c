import { setTimeout as sleep } from 'node:timers/promises';
import { startBare } from './bare.mjs';
import { queryInflux, startInflux } from './influx.mjs';
import { percentile } from './stack.mjs';

const READINGS = Number(process.env.BENCH_READINGS ?? 10_000_000);
const ROOMS = 100;
const SLICE = 500_000;
const POINTS_A_REQUEST = 20_000;
/** One reading per second for 30 days and 30 minutes. The last is in the future, so that every window is full during the run. */
const MEASURED_SECONDS = 30 * 86_400 + 1_800;
const WINDOWS = { '15m': '15 minutes', '1d': '1 day', '30d': '30 days' };
/** Time for InfluxDB to compact 10,000,000 points. */
const INFLUX_COMPACTION_MS = 30_000;
const TIMES = { '15m': 1_500, '1d': 100, '30d': 10 };

/**
 * The average of one room with a reading per second, among READINGS of 100 rooms. Sequential requests, alternating between
 * Stowage over HTTP, plain SQL `avg` over a typed table with a covering index through `pg`, and the same SQL behind a bare
 * Fastify handler; then between Stowage and InfluxDB, if it is installed.
 */
export async function benchAverages(stack) {
  await fill(stack);
  console.log(`averages of one room among ${READINGS.toLocaleString('en')} readings of ${ROOMS} rooms, p50 in ms`);
  const bare = await startBare(stack);
  try {
    for (const [duration, interval] of Object.entries(WINDOWS)) {
      const request = stowageRequest(stack, duration);
      const first = await timed(request);
      const { reading_count } = JSON.parse(await request());
      // The first request triggers the rollups; until they are stored, requests read the readings.
      await waitForRollups(stack);
      const ways = {
        Stowage: request,
        'plain SQL': plainQuery(stack, duration, interval),
        'bare Fastify': () => readText(`${bare.url}/average/0/${interval}`),
      };
      const comparison = compare(await medians(ways, TIMES[duration]));
      console.log(`  ${duration} (${reading_count} readings): first request ${first.toFixed(2)}; ${comparison}`);
    }
  } finally {
    await bare.stop();
  }
  const influx = await startInflux();
  if (influx === null) return;
  try {
    await fillInflux(stack, influx.url);
    await sleep(INFLUX_COMPACTION_MS);
    for (const duration of Object.keys(WINDOWS)) {
      const query = `SELECT mean(value) FROM temperature WHERE room = 'room-0' AND time >= now() - ${duration} AND time < now()`;
      const ways = { Stowage: stowageRequest(stack, duration), InfluxDB: () => queryInflux(influx.url, query) };
      console.log(`  ${duration} and InfluxDB: ${compare(await medians(ways, TIMES[duration]))}`);
    }
  } finally {
    await influx.stop();
  }
}

function stowageRequest({ url, adminKey }, duration) {
  return async () => {
    const reply = await fetch(`${url}/buildings/HQ/rooms/room-0/temperatures/average?duration=${duration}`, {
      headers: { 'X-Api-Key': adminKey },
    });
    return reply.text();
  };
}

function plainQuery({ sql }, duration, interval) {
  return () =>
    sql.query({
      name: `avg-${duration}`,
      text: `SELECT avg(temperature), count(*) FROM bench_readings
             WHERE room = $1 AND recorded_at >= now() - $2::interval AND recorded_at < now()`,
      values: [0, interval],
    });
}

function compare({ Stowage, ...others }) {
  const ratios = Object.entries(others).map(
    ([name, took]) => `; ${name} ${took.toFixed(2)} (ratio ${(Stowage / took).toFixed(2)})`,
  );
  return `Stowage ${Stowage.toFixed(2)}${ratios.join('')}`;
}

async function readText(url) {
  await (await fetch(url)).text();
}

/** Inserts the readings with SQL and builds the indexes afterwards: with requests it would take hours, for the same table. */
async function fill({ sql, projectId }) {
  const { rows: indexes } = await sql.query(`SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'objects'`);
  await sql.query(`ALTER TABLE objects DROP CONSTRAINT objects_pkey, DROP CONSTRAINT objects_object_id_key`);
  for (const { indexname } of indexes) await sql.query(`DROP INDEX IF EXISTS ${indexname}`);
  await sql.query(
    `INSERT INTO batches (project_id, batch_id, seq, object_count, revision) VALUES ($1, 'readings', 1, $2, 1)`,
    [projectId, READINGS],
  );
  await sql.query(`CREATE TABLE bench_readings (room integer, recorded_at timestamptz, temperature double precision)`);
  const { rows } = await sql.query(`SELECT date_trunc('second', now()) + interval '30 minutes' AS last`);
  const step = `${(MEASURED_SECONDS / READINGS).toFixed(9)} seconds`;
  const every = READINGS / MEASURED_SECONDS;
  for (let from = 0; from < READINGS; from += SLICE) {
    await sql.query(
      `WITH readings AS (
         SELECT n, CASE WHEN floor(n / $5::float8) > floor((n - 1) / $5::float8) THEN 0 ELSE 1 + n % ${ROOMS - 1} END AS room,
           $1::timestamptz - ($2::bigint - n) * interval '${step}' AS at, round((20 + 5 * sin(n / 5000.0))::numeric, 2) AS value
         FROM generate_series($3::bigint + 1, $4::bigint) AS n),
       typed AS (INSERT INTO bench_readings SELECT room, at, value FROM readings)
       INSERT INTO objects (project_id, batch_id, object_id, seq, subject, observed_at, data, bytes)
       SELECT ${projectId}, 'readings', 'temperature-' || md5(n::text), n, 'HQ/room-' || room, at,
         jsonb_build_array(jsonb_build_object('key', 'building', 'value', 'HQ'),
           jsonb_build_object('key', 'room', 'value', 'room-' || room),
           jsonb_build_object('key', 'temperature', 'value', value)), 100
       FROM readings`,
      [rows[0].last, READINGS, from, Math.min(READINGS, from + SLICE), every],
    );
  }
  await sql.query(`SET maintenance_work_mem = '1GB'`);
  for (const { indexdef } of indexes) await sql.query(indexdef);
  await sql.query(`
    ALTER TABLE objects ADD CONSTRAINT objects_pkey PRIMARY KEY USING INDEX objects_pkey,
      ADD CONSTRAINT objects_object_id_key UNIQUE USING INDEX objects_object_id_key`);
  await sql.query(`CREATE INDEX ON bench_readings (room, recorded_at) INCLUDE (temperature)`);
  await sql.query('VACUUM ANALYZE objects');
  await sql.query('VACUUM ANALYZE bench_readings');
}

async function fillInflux({ sql }, url) {
  const start = performance.now();
  for (let room = 0; room < ROOMS; room++) {
    for (let offset = 0; ; offset += POINTS_A_REQUEST) {
      const { rows } = await sql.query(
        `SELECT string_agg('temperature,room=room-' || room || ' value=' || temperature || ' ' ||
           (extract(epoch FROM recorded_at) * 1000000)::bigint, E'\n') AS lines, count(*)::int AS count
         FROM (SELECT * FROM bench_readings WHERE room = $1 ORDER BY recorded_at OFFSET $2 LIMIT $3) AS slice`,
        [room, offset, POINTS_A_REQUEST],
      );
      if (rows[0].count === 0) break;
      const reply = await fetch(`${url}/write?db=bench&precision=u`, { method: 'POST', body: rows[0].lines });
      if (!reply.ok) throw new Error(`InfluxDB returned ${reply.status}: ${await reply.text()}`);
      if (rows[0].count < POINTS_A_REQUEST) break;
    }
  }
  console.log(`  InfluxDB stored ${READINGS} points in ${((performance.now() - start) / 1000).toFixed(0)} s`);
}

/** Waits until no rollup is being computed. */
async function waitForRollups({ sql }) {
  for (let i = 0; i < 1_200; i++) {
    const { rows } = await sql.query(
      `SELECT count(*)::int AS busy FROM pg_stat_activity WHERE state <> 'idle' AND query LIKE '%INSERT INTO rollups%' AND pid <> pg_backend_pid()`,
    );
    if (rows[0].busy === 0) return;
    await sleep(50);
  }
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/**
 * Returns the median of each way. The ways alternate, so that other load on the machine affects all of them. As many runs
 * before are not measured, because JavaScript that has just started runs at half its speed.
 */
async function medians(ways, times) {
  const took = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
  for (let i = 0; i < 2 * times; i++) {
    for (const [name, work] of Object.entries(ways)) {
      const ms = await timed(work);
      if (i >= times) took[name].push(ms);
    }
  }
  return Object.fromEntries(Object.entries(took).map(([name, all]) => [name, percentile(all, 0.5)]));
}

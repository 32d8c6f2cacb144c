import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { readExport, wholeLines } from '../export/export-client.js';
import { logLinesWith, TestApi, type Reply, type TestProject } from '../harness/api.js';
import { PrimaryAndStandby } from '../harness/standby.js';
import { urlOf } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';

/** Of an advisory lock. */
const LOCK = 20_261_126;
/** An aggregate that servers find before PostgreSQL's own, so that every `count(*)` waits for the lock of its server. */
const SLOW_COUNT = `
  CREATE FUNCTION after_lock(bigint) RETURNS bigint LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM pg_advisory_xact_lock_shared(${String(LOCK)});
    RETURN $1;
  END $$;
  CREATE AGGREGATE count(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '0', FINALFUNC = after_lock);
  DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$;`;

const EXCLUSIVE_LOCKS = `SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'objects'::regclass`;

const READ_FROM = 'exports, facets and aggregates are read from';
const BEHIND = 'the replica is more than 1000 ms behind';

interface ReplicaState {
  status: string;
  lag_ms: number | null;
  error: string | null;
}

let servers: PrimaryAndStandby;
/** Accepts a replica that is ten minutes behind. */
let patient: TestApi;
/** Accepts one second. */
let strict: TestApi;
let mine: TestProject;
let objects = 0;

beforeAll(async () => {
  servers = await PrimaryAndStandby.start();
  await servers.primary.sql(SLOW_COUNT);
  patient = await startServer('600000');
  strict = await startServer('1000');
  mine = await patient.project();
  await addObject();
  await becomes(patient, 'current');
  await becomes(strict, 'current');
});
afterAll(async () => {
  await strict.stop();
  await patient.stop();
  await servers.stop();
});

function startServer(lagMaxMs: string, url = urlOf(servers.standbyAddress)): Promise<TestApi> {
  return TestApi.startOn(servers.primary, { DATABASE_READ_URL: url, DATABASE_READ_LAG_MAX_MS: lagMaxMs });
}

async function addObject(): Promise<void> {
  const body = { batch_id: `batch-${String(++objects)}`, objects: [{ data: { size: 1 } }] };
  expect((await patient.call('POST', '/batches', { key: mine.keys.producer, body })).status).toBe(201);
}

async function get(api: TestApi, path: string): Promise<Reply> {
  const reply = await api.call('GET', path, { key: mine.keys.analyst });
  expect([path, reply.status, reply.text]).toEqual([path, 200, reply.text]);
  return reply;
}

/** The number of objects by each route that may use the replica. */
async function countsOf(api: TestApi): Promise<number[]> {
  const routes = ['/objects/facets?key=size', '/objects/aggregate?op=count', '/objects/keys'];
  const counts = routes.map(async (path) => {
    const [first] = (await get(api, path)).json<{ results: { count?: number; objects?: number }[] }>().results;
    return first?.count ?? first?.objects ?? NaN;
  });
  return [...(await Promise.all(counts)), wholeLines(await readExport(api, mine.keys.analyst)).length];
}

async function stateOf(api: TestApi): Promise<ReplicaState> {
  const reply = await api.call('GET', '/maintenance', { key: api.operatorKey });
  return reply.json<{ replica: ReplicaState }>().replica;
}

function becomes(api: TestApi, status: string): Promise<ReplicaState> {
  return waitFor(async () => {
    const state = await stateOf(api);
    return state.status === status ? state : undefined;
  });
}

/** The lines of all servers that name the replica. */
async function linesOfReplica(): Promise<string[]> {
  return (await logLinesWith('the replica')).map(({ msg }) => msg ?? '');
}

/** Runs work while the standby receives changes but does not apply them. */
async function whilePaused(work: () => Promise<void>): Promise<void> {
  await servers.standby.sql('SELECT pg_wal_replay_pause()');
  await waitFor(async () => {
    const [row] = await servers.standby.sql<{ state: string }>('SELECT pg_get_wal_replay_pause_state() AS state');
    return row?.state === 'paused' ? true : undefined;
  });
  try {
    await work();
  } finally {
    await servers.standby.sql('SELECT pg_wal_replay_resume()');
  }
}

function statementsOnStandby(condition: string): Promise<object[]> {
  return servers.standby.sql(`SELECT pid FROM pg_stat_activity WHERE usename = 'stowage' AND ${condition}`);
}

const untilOneWaits = (): Promise<object> =>
  waitFor(async () => (await statementsOnStandby(`wait_event_type = 'Lock'`))[0]);

it('reads facets, aggregates, keys in use and exports from the replica, and other routes from the primary', async () => {
  const before = objects;
  await waitFor(async () => ((await countsOf(patient)).every((count) => count === before) ? true : undefined));
  await whilePaused(async () => {
    await addObject();
    expect(await countsOf(patient)).toEqual([before, before, before, before]);
    expect((await get(patient, '/objects?key=size')).json()).toMatchObject({ count: before + 1 });
  });
});

it('reads from the primary while the replica is behind by more than DATABASE_READ_LAG_MAX_MS', async () => {
  await becomes(strict, 'current');
  await whilePaused(async () => {
    const before = objects;
    await addObject();
    const { lag_ms } = await becomes(strict, 'behind');
    expect(lag_ms).toBeGreaterThan(1_000);
    expect(await countsOf(strict)).toEqual([objects, objects, objects, objects]);
    expect(await countsOf(patient)).toEqual([before, before, before, before]);
  });
  await becomes(strict, 'current');
  await waitFor(async () => {
    await get(strict, '/objects/aggregate?op=p95&key=size');
    return (await statementsOnStandby(`query LIKE '%percentile_disc(0.95)%'`))[0];
  });
  // One line for each change: both servers use the replica now.
  const lines = await linesOfReplica();
  const toPrimary = lines.filter((line) => line === `${READ_FROM} the primary, because ${BEHIND}`);
  expect(toPrimary).not.toEqual([]);
  expect(lines.filter((line) => line === `${READ_FROM} the replica`)).toHaveLength(toPrimary.length + 2);
});

it('runs a query again on the primary when the replica cancels it to apply changes', async () => {
  const conflicts = async (): Promise<number> => {
    const [row] = await servers.standby.sql<{ count: string }>(
      'SELECT sum(confl_snapshot) AS count FROM pg_stat_database_conflicts',
    );
    return Number(row?.count);
  };
  const before = await conflicts();
  await servers.standby.transaction(async (tx) => {
    await tx.query(`SELECT pg_advisory_xact_lock(${String(LOCK)})`);
    const aggregate = get(patient, '/objects/aggregate?op=count');
    await untilOneWaits();
    await servers.primary.sql('CREATE TABLE vacuumed AS SELECT generate_series(1, 1000)');
    await servers.primary.sql('DELETE FROM vacuumed');
    await waitFor(async () => {
      await servers.primary.sql('VACUUM vacuumed');
      return (await conflicts()) > before ? true : undefined;
    });
    expect((await aggregate).json()).toMatchObject({ results: [{ count: objects }] });
  });
});

it('starts an export again on the primary when the connection to the replica is lost before the first byte', async () => {
  const exported = await servers.primary.transaction(async (tx) => {
    await tx.query('LOCK TABLE objects');
    // The lock is replicated with the next commit.
    await servers.primary.sql('ANALYZE projects');
    await waitFor(async () => (await servers.standby.sql(EXCLUSIVE_LOCKS))[0]);
    const response = readExport(patient, mine.keys.analyst);
    const [{ pid }] = [(await untilOneWaits()) as { pid: number }];
    await servers.standby.sql('SELECT pg_terminate_backend($1)', [pid]);
    await waitFor(async () => {
      const waiting = `wait_event_type = 'Lock' AND query LIKE 'COPY%'`;
      return (await servers.primary.sql(`SELECT FROM pg_stat_activity WHERE ${waiting}`))[0];
    });
    return { response };
  });
  expect(wholeLines(await exported.response)).toHaveLength(objects);
});

it('reads from the primary while the replica is stopped, and from the replica when it is back', async () => {
  await servers.stopStandby();
  for (let i = 0; i < 3; i++) {
    expect(await countsOf(strict)).toEqual([objects, objects, objects, objects]);
    expect(await countsOf(patient)).toEqual([objects, objects, objects, objects]);
  }
  expect(await becomes(strict, 'unavailable')).toMatchObject({ error: expect.any(String) });
  expect((await strict.call('GET', `${strict.origin}/health/ready`)).status).toBe(200);
  const startedWithout = await startServer('1000');
  try {
    expect(await stateOf(startedWithout)).toMatchObject({ status: 'unavailable', lag_ms: null });
    await servers.startStandby();
    for (const api of [startedWithout, strict, patient]) await becomes(api, 'current');
  } finally {
    await startedWithout.stop();
  }
});

it('does not start with a primary, or with a standby of another cluster', async () => {
  const primaryUrl = urlOf(servers.primary.address);
  await expect(startServer('1000', primaryUrl)).rejects.toThrow(
    'StartupError: the server of DATABASE_READ_URL is not a standby; set it to a streaming replica of DATABASE_URL, or remove it',
  );
  await expect(TestApi.start({ DATABASE_READ_URL: urlOf(servers.standbyAddress) })).rejects.toThrow(
    'StartupError: the server of DATABASE_READ_URL is a standby of another cluster, or its database is another one; set',
  );
});

it('reads from the primary after the standby was promoted', async () => {
  await becomes(strict, 'current');
  await servers.standby.sql('SELECT pg_promote()');
  expect(await becomes(strict, 'unavailable')).toMatchObject({ error: 'is not a standby' });
  await addObject();
  expect(await countsOf(strict)).toEqual([objects, objects, objects, objects]);
});

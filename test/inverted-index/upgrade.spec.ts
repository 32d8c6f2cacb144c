import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Database } from '#database';
import { IndexCheck } from '#inverted-index';
import { MIGRATIONS } from '#migrations';
import { settingsFor, TestApi, type TestProject } from '../harness/api.js';
import { openDatabase } from '../harness/database.js';
import { Stowage } from '../cli/stowage.js';
import { waitFor } from '../jobs/jobs.js';

/** Of the first step of a build; another one indexes the others. */
const STEP_OBJECTS = 5_000;
/** Every third object is red. */
const OBJECTS = 8_001;
/** An arbitrary number. */
const LOCK = 4711;

/** Serves all the time, and does no background work. */
let api: TestApi;
let database: Database;
let stowage: Stowage;
let project: TestProject;
beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate' });
  stowage = await Stowage.create({ ...settingsFor(api.db), WORKER: 'inline' });
  project = await api.project();
  database = await openDatabase(api.db.address);
});
afterAll(async () => {
  await database.close();
  await stowage.remove();
  await api.stop();
});

async function store(): Promise<void> {
  const colors = ['red', 'green', 'yellow'];
  const lines = Array.from({ length: OBJECTS }, (_, n) => {
    return `{"object_id":"${String(n)}","data":{"n":${String(n)},"color":"${colors[n % 3] ?? ''}"}}`;
  });
  const headers = { 'Content-Type': 'application/x-ndjson' };
  const { status } = await api.call('PUT', '/batches/b', {
    key: project.keys.producer,
    body: lines.join('\n'),
    headers,
  });
  expect(status).toBe(201);
}

/** Runs the migration again, on a database with objects and without an index. */
async function upgrade(): Promise<void> {
  const migration = MIGRATIONS.map((each) => new each()).find(({ name }) => name.startsWith('InvertedIndex'));
  if (migration === undefined) throw new Error('the migration was renamed');
  const runner = database.dataSource.createQueryRunner();
  try {
    await runner.startTransaction();
    await migration.down(runner);
    await migration.up(runner);
    await runner.commitTransaction();
  } finally {
    await runner.release();
  }
}

/** Makes every step of the build but the first wait for a lock at its end. */
async function stopAfterFirstStep(): Promise<void> {
  await api.db.sql(`
    CREATE FUNCTION wait_after_first_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF OLD.below_seq <= (SELECT max(seq) FROM objects WHERE project_id = OLD.project_id) THEN
        PERFORM pg_advisory_xact_lock(${String(LOCK)});
      END IF;
      RETURN NEW;
    END $$`);
  await api.db.sql(`
    CREATE TRIGGER second_step BEFORE UPDATE ON index_builds FOR EACH ROW EXECUTE FUNCTION wait_after_first_step()`);
}

const builds = (): Promise<{ below_seq: string }[]> => api.db.sql('SELECT below_seq FROM index_builds');

async function ids(pair: string): Promise<{ count: number; ids: string[] }> {
  const query = `/objects?${pair}&count=exact&page_size=2`;
  const { status, json } = await api.call('GET', query, { key: project.keys.analyst });
  expect([pair, status]).toEqual([pair, 200]);
  const page = json<{ count: number; results: { object_id: string }[] }>();
  return { count: page.count, ids: page.results.map(({ object_id }) => object_id) };
}

/** What filters must find. */
const expected = {
  'key=color&value=red': { count: OBJECTS / 3, ids: ['7998', '7995'] },
  'key=color&value=blue': { count: 0, ids: [] as string[] },
  'key=n&value=102': { count: 1, ids: ['102'] },
  'key=n&value=6000': { count: 1, ids: ['6000'] },
  'key=n&value=8001': { count: 0, ids: [] as string[] },
};

async function expectRightAnswers(): Promise<void> {
  const found = Object.fromEntries(
    await Promise.all(Object.keys(expected).map(async (pair) => [pair, await ids(pair)] as const)),
  );
  expect(found).toEqual(expected);
}

/** Writes objects of the first step and of the interrupted one, and a new object. */
async function write(): Promise<void> {
  const key = project.keys.admin;
  const headers = { 'Content-Type': 'application/merge-patch+json' };
  const paint = { key, headers, body: `{"data":{"color":"blue"}}` };
  expect((await api.call('PATCH', '/objects/6000', paint)).status).toBe(200);
  expect((await api.call('PATCH', '/objects/3000', paint)).status).toBe(200);
  expect((await api.call('DELETE', '/objects/102', { key })).status).toBe(204);
  const body = { batch_id: 'b', object_id: 'new', data: { n: OBJECTS, color: 'red' } };
  expect((await api.call('POST', '/objects', { key, body })).status).toBe(201);
  Object.assign(expected, {
    'key=color&value=red': { count: OBJECTS / 3 - 2, ids: ['new', '7998'] },
    'key=color&value=blue': { count: 2, ids: ['6000', '3000'] },
    'key=n&value=102': { count: 0, ids: [] },
    'key=n&value=8001': { count: 1, ids: ['new'] },
  });
}

it('indexes the objects of an older version while servers run, and filters are right before, during and after', async () => {
  await store();
  await upgrade();
  const [newest] = await builds();
  expect(newest).toBeDefined();
  await expectRightAnswers();

  await stopAfterFirstStep();
  await api.db.transaction(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
    const killed = stowage.start(['serve']);
    await killed.prints(/Stowage is ready/);
    await waitFor(async () => {
      const waiting = await tx.query(`
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = ${String(LOCK)}`);
      return waiting.length > 0 || undefined;
    });
    await expectRightAnswers();
    await write();
    await expectRightAnswers();
    killed.child.kill('SIGKILL');
    await killed.ended;
  });
  // Waits until the interrupted step is rolled back.
  await api.db.sql('DROP TRIGGER second_step ON index_builds');
  const [interrupted] = await builds();
  expect(BigInt(interrupted?.below_seq ?? 0)).toBeLessThan(BigInt(newest?.below_seq ?? 0));
  const indexed = (): Promise<{ objects: number }[]> =>
    api.db.sql('SELECT coalesce(sum(objects), 0)::int AS objects FROM index_segments');
  expect(await indexed()).toEqual([{ objects: STEP_OBJECTS }]);
  await expectRightAnswers();

  await stowage.start(['serve']).prints(/Stowage is ready/);
  await waitFor(async () => (await builds()).length === 0 || undefined, 60_000);
  await expectRightAnswers();
  const { objects, isBuilding, differences } = await new IndexCheck(database).checkProject(project.projectId);
  expect({ objects, isBuilding, differences }).toEqual({ objects: OBJECTS, isBuilding: false, differences: [] });
}, 120_000);

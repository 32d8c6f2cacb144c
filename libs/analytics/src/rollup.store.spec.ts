import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { TestApi, type TestProject } from '../../../test/harness/api.js';
import { countLockWaits } from '../../../test/harness/tables.js';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { waitFor } from '../../../test/jobs/jobs.js';
import { RollupStore, splitSpan, type MeasuredSpan, type RollupOp } from './rollup.store.js';

const FROM = '2024-12-10T00:00:00Z';
const UNTIL = '2024-12-11T00:00:00Z';

let db: TestDatabase;
let api: TestApi;
let rollups: RollupStore;
let project: TestProject;
let span: MeasuredSpan;
beforeAll(async () => {
  db = await cloneDatabase();
  api = await TestApi.startOn(db);
  rollups = new RollupStore(db.database);
});
afterAll(async () => {
  await api.stop();
  await db.close();
});
beforeEach(async () => {
  project = await api.project();
  span = { projectId: project.projectId, subject: 'HQ/lab', from: FROM, until: UNTIL };
});

interface Reading {
  id: string;
  minute: number;
  value: unknown;
}

function objectOf({ id, minute, value }: Reading): object {
  const at = new Date(Date.parse(FROM) + minute * 60_000).toISOString();
  return { object_id: id, subject: 'HQ/lab', observed_at: at, data: [{ key: 'temperature', value }] };
}

type Sums = Record<RollupOp, string | null>;

const OPS: readonly RollupOp[] = ['count', 'sum', 'avg', 'min', 'max'];

/** The same sums computed from `data`. */
async function expectedSums({ from, until }: MeasuredSpan = span): Promise<Sums> {
  const [row] = await db.sql<Sums>(
    `SELECT count(*)::text AS count, trim_scale(sum(v)) AS sum,
       trim_scale(sum(v) * 1.0000000000000000 / nullif(count(*), 0)) AS avg, trim_scale(min(v)) AS min,
       trim_scale(max(v)) AS max
     FROM objects, LATERAL (SELECT (jsonb_path_query(data, '$[*] ? (@.key == "temperature").value'))::numeric AS v) AS n
     WHERE project_id = $1 AND subject = 'HQ/lab' AND observed_at >= $2 AND observed_at < $3`,
    [project.projectId, from, until],
  );
  return row as Sums;
}

async function sums(of: MeasuredSpan = span): Promise<Sums> {
  const pairs = OPS.map(async (op) => [op, (await rollups.read(of, op)).value] as const);
  return Object.fromEntries(await Promise.all(pairs)) as Sums;
}

/** Measures of settled hours that no valid rollup covers. */
async function notInRollups(of: MeasuredSpan = span): Promise<string> {
  return (await rollups.read(of, 'sum')).not_in_rollups;
}

async function post(batchId: string, readings: Reading[]): Promise<void> {
  const body = { batch_id: batchId, objects: readings.map(objectOf) };
  expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
}

async function change(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<void> {
  const { status, text } = await api.call(method, path, { key: project.keys.admin, body, headers: headers ?? {} });
  if (status >= 300) throw new Error(`${method} ${path}: ${text}`);
}

const readings = (count: number): Reading[] =>
  Array.from({ length: count }, (_, n) => ({ id: `r${String(n)}`, minute: n * 7, value: n / 10 }));

describe('rollups', () => {
  it('equal the sums of the objects, before and after a refresh', async () => {
    await post('b', readings(150));
    expect(await sums()).toEqual(await expectedSums());
    expect(await notInRollups()).toBe('150');
    await rollups.refresh(span);
    expect(await sums()).toEqual(await expectedSums());
    expect(await notInRollups()).toBe('0');
  });

  it('are correct for spans that begin and end within an hour', async () => {
    await post('b', readings(200));
    await rollups.refresh(span);
    const minute = fc.integer({ min: -30, max: 1_500 });
    await fc.assert(
      fc.asyncProperty(minute, minute, async (a, b) => {
        const at = (n: number): string => new Date(Date.parse(FROM) + n * 60_000).toISOString();
        const some = { ...span, from: at(Math.min(a, b)), until: at(Math.max(a, b)) };
        expect(await sums(some)).toEqual(await expectedSums(some));
      }),
      { numRuns: 50 },
    );
  });

  it.each<[string, () => Promise<void>]>([
    ['a batch is posted', () => post('c', [{ id: 'new', minute: 61, value: 99 }])],
    [
      'a large batch is posted',
      () =>
        post(
          'c',
          readings(500).map((one) => ({ ...one, id: `c${one.id}`, minute: one.minute % 900 })),
        ),
    ],
    [
      'a batch is replaced',
      () => change('PUT', '/batches/b?on_conflict=replace', { objects: readings(3).map(objectOf) }),
    ],
    [
      'a batch is added to',
      () =>
        change('PUT', '/batches/b?on_conflict=skip', {
          objects: [...readings(100), { id: 'x', minute: 5, value: 50 }].map(objectOf),
        }),
    ],
    [
      'NDJSON lines are put',
      () =>
        change('PUT', '/batches/lines', `${JSON.stringify(objectOf({ id: 'line', minute: 130, value: -40 }))}\n`, {
          'Content-Type': 'application/x-ndjson',
        }),
    ],
    [
      'an object is posted',
      () => change('POST', '/objects', { batch_id: 'b', ...objectOf({ id: 'one', minute: 3, value: 7 }) }),
    ],
    ['an object is replaced', () => change('PUT', '/objects/r5', { ...objectOf({ id: 'r5', minute: 35, value: 77 }) })],
    [
      'an object moves to another hour',
      () => change('PUT', '/objects/r5', { ...objectOf({ id: 'r5', minute: 2_000, value: 0.5 }) }),
    ],
    [
      'an object changes its subject',
      () => change('PUT', '/objects/r5', { ...objectOf({ id: 'r5', minute: 35, value: 1 }), subject: 'x' }),
    ],
    [
      'an object is patched',
      () =>
        change(
          'PATCH',
          '/objects/r5',
          { data: { temperature: null, other: 1 } },
          {
            'Content-Type': 'application/merge-patch+json',
          },
        ),
    ],
    ['an object is deleted', () => change('DELETE', '/objects/r5')],
    ['a batch is deleted with its objects', () => change('DELETE', '/batches/b?cascade=true')],
  ])('are correct immediately when %s, and after the next refresh', async (_, act) => {
    await post('b', readings(100));
    await rollups.refresh(span);
    const before = await sums();
    await act();
    expect(await sums()).not.toEqual(before);
    expect(await sums()).toEqual(await expectedSums());
    await rollups.refresh(span);
    expect(await sums()).toEqual(await expectedSums());
    expect(await notInRollups()).toBe('0');
  });

  it('are correct while refreshes and changes run concurrently', async () => {
    await post('b', readings(100));
    await Promise.all([
      ...Array.from({ length: 40 }, (_, n) =>
        change('PUT', `/objects/r${String(n)}`, objectOf({ id: `r${String(n)}`, minute: n * 11, value: n })),
      ),
      ...Array.from({ length: 20 }, () => rollups.refresh(span)),
    ]);
    expect(await sums()).toEqual(await expectedSums());
    await rollups.refresh(span);
    expect(await sums()).toEqual(await expectedSums());
    expect(await notInRollups()).toBe('0');
  });

  it('are correct when an hour becomes empty during a refresh with an older snapshot', async () => {
    await post('b', [
      { id: 'other', minute: 60, value: 1 },
      { id: 'only', minute: 300, value: 10 },
    ]);
    await rollups.refresh(span);
    await db.sql(`DELETE FROM rollups WHERE hour = '2024-12-10T05:00:00Z'`);
    await change('PUT', '/objects/other', objectOf({ id: 'other', minute: 60, value: 2 }));

    // Blocks the first refresh after it has taken its snapshot.
    const blocker = new pg.Client({ ...db.address, ssl: false });
    await blocker.connect();
    await blocker.query('BEGIN; SELECT FROM rollups FOR UPDATE');
    const first = rollups.refresh(span);
    await waitFor(async () => ((await countLockWaits(db)) === 0 ? undefined : true));
    await change('DELETE', '/objects/only');
    await rollups.refresh({ ...span, from: '2024-12-10T04:00:00Z' });
    await blocker.query('ROLLBACK');
    await blocker.end();
    await first;
    expect(await sums()).toEqual(await expectedSums());
  });

  it('are not stored for the last two hours, in which most readings arrive', async () => {
    const now = Date.now();
    const minutes = (now - Date.parse(FROM)) / 60_000;
    await post('b', [{ id: 'late', minute: minutes - 90, value: 1 }]);
    const today = { ...span, from: new Date(now - 86_400_000).toISOString(), until: new Date(now).toISOString() };
    await rollups.refresh(today);
    const kept = await db.sql('SELECT FROM rollups WHERE project_id = $1', [project.projectId]);
    expect(kept).toHaveLength(0);
    expect((await sums(today)).count).toBe('1');
  });

  it('return NaN where an object has several numbers, or one with many digits', async () => {
    await post('b', [{ id: 'long', minute: 1, value: 1 }]);
    const [object] = [
      {
        object_id: 'two',
        subject: 'HQ/lab',
        observed_at: FROM,
        data: [1, 2].map((value) => ({ key: 'temperature', value })),
      },
    ];
    await change('POST', '/batches', { batch_id: 'c', objects: [object] });
    expect(new Set(Object.values(await sums()))).toEqual(new Set(['NaN']));
    await rollups.refresh(span);
    expect(new Set(Object.values(await sums()))).toEqual(new Set(['NaN']));
    const digits = '1'.repeat(5_000);
    const body = `{"batch_id":"d","objects":[{"object_id":"many","subject":"far","observed_at":"${FROM}","data":{"temperature":${digits}}}]}`;
    await change('POST', '/batches', body);
    expect(new Set(Object.values(await sums({ ...span, subject: 'far' })))).toEqual(new Set(['NaN']));
  });
});

describe('splitSpan', () => {
  const partsOf = (from: string, until: string): [string, string][] =>
    Array.from(splitSpan({ ...span, from, until }), (part) => [part.from, part.until]);

  it('splits a long span at full hours into consecutive parts of at most 30 days', () => {
    expect(partsOf('2024-01-01T10:30:00.123456Z', '2024-03-05T00:15:00Z')).toEqual([
      ['2024-01-01T10:30:00.123456Z', '2024-01-31T10:00:00.000Z'],
      ['2024-01-31T10:00:00.000Z', '2024-03-01T10:00:00.000Z'],
      ['2024-03-01T10:00:00.000Z', '2024-03-05T00:15:00Z'],
    ]);
  });

  it('does not split a span of 30 days', () => {
    const whole: [string, string] = ['2024-01-01T00:00:00Z', '2024-01-31T00:00:00Z'];
    expect(partsOf(...whole)).toEqual([whole]);
  });
});

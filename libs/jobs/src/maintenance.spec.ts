import { Logger, type LoggerService } from '@nestjs/common';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ReadDatabase } from '#database';
import { LIST_APPLIES_AFTER_MS } from '#encryption';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { Maintenance, type TaskState } from './maintenance.js';
import { MaintenanceStore } from './maintenance.store.js';
import { WorkerRegistry } from './worker-registry.js';

const warnings: string[] = [];
const logger: LoggerService = {
  log: () => undefined,
  error: () => undefined,
  warn: (message: string) => {
    warnings.push(message);
  },
};

let db: TestDatabase;
let maintenance: Maintenance;
let store: MaintenanceStore;

beforeAll(async () => {
  Logger.overrideLogger(logger);
  db = await cloneDatabase();
});
afterAll(async () => {
  Logger.overrideLogger(true);
  await db.close();
});
beforeEach(() => {
  warnings.length = 0;
  maintenance = new Maintenance(db.database, new WorkerRegistry(db.database));
  store = new MaintenanceStore(maintenance, ReadDatabase.ofPrimary(db.database));
});

const stateOf = (name: string): TaskState | null | undefined =>
  maintenance.list().find((task) => task.name === name)?.state;

describe('the state of a task', () => {
  it('is unknown before its first run, and then has the time of the last one', async () => {
    expect(new Set(maintenance.list().map(({ state }) => state))).toEqual(new Set([null]));
    const before = new Date();
    await maintenance.run();
    for (const { name, state } of maintenance.list()) {
      expect([name, state]).toEqual([name, { ranAt: expect.any(Date), hasMore: false, lastError: null }]);
      expect(Number(state?.ranAt)).toBeGreaterThanOrEqual(Number(before));
    }
  });

  it('has the last error, also after the task has succeeded again', async () => {
    maintenance.add({ name: 'read', sql: 'SELECT FROM later' });
    await maintenance.run();
    const lastError = { at: expect.any(Date), message: expect.stringContaining('42P01: relation "…" does not exist') };
    expect(stateOf('read')).toMatchObject({ lastError });
    expect(warnings).toEqual([expect.stringMatching(/^maintenance failed: read: .*42P01/)]);
    await db.sql('CREATE TABLE later ()');
    await maintenance.run();
    await db.sql('DROP TABLE later');
    expect(stateOf('read')).toMatchObject({ hasMore: false, lastError });
    expect(Number(stateOf('read')?.ranAt)).toBeGreaterThanOrEqual(Number(stateOf('read')?.lastError?.at));
    expect(warnings).toHaveLength(1);
  });

  it('shows that there was more to do when the run stopped, which is logged', async () => {
    maintenance.add(
      { name: 'endless', sql: 'SELECT true AS has_more' },
      { name: 'done', sql: 'SELECT false AS has_more' },
    );
    await maintenance.run(0);
    expect([stateOf('endless')?.hasMore, stateOf('done')?.hasMore]).toEqual([true, false]);
    expect(warnings).toEqual(['maintenance stopped after 0 s with more to do; it continues in a minute: endless']);
  });

  it('has the first error of a project, which does not keep the task from the projects after it', async () => {
    await db.sql('CREATE TABLE steps (project_id bigint)');
    maintenance.add({
      name: 'visit',
      projectsSql: 'SELECT generate_series(1, 3) AS project_id',
      // 22012 for the first and the second. The third needs three runs.
      projectSql: `
        INSERT INTO steps SELECT CASE WHEN $1::int < 3 THEN 1 / ($1 - $1) ELSE $1 END
        RETURNING (SELECT count(*) FROM steps) < 2 AS has_more`,
    });
    await maintenance.run();
    const steps = await db.sql<{ project_id: string }>('SELECT project_id FROM steps');
    await db.sql('DROP TABLE steps');
    expect(steps.map(({ project_id: id }) => Number(id))).toEqual([3, 3, 3]);
    const lastError = { at: expect.any(Date), message: expect.stringContaining('22012') };
    expect(stateOf('visit')).toMatchObject({ hasMore: false, lastError });
    expect(warnings).toEqual([expect.stringMatching(/^maintenance failed: visit of project 1: .*22012/)]);
  });

  it('logs nothing where the process stops', async () => {
    maintenance.add({ name: 'endless', sql: 'SELECT true AS has_more' });
    await maintenance.stop();
    await maintenance.run();
    expect([stateOf('endless')?.hasMore, warnings]).toEqual([true, []]);
  });
});

describe('the report', () => {
  const overdue = async (): Promise<Record<string, string>> => {
    const { tasks } = await store.read(db.database);
    return Object.fromEntries(
      tasks.flatMap((task) => (task.overdue_since === null ? [] : [[task.name, task.overdue_since]])),
    );
  };

  it('has the time since which rows should have been deleted, until they are', async () => {
    expect(await overdue()).toEqual({});
    await db.sql(`
      INSERT INTO jobs (project_id, job_id, key_id, operation, input, media_type, parts, status, attempts, finished_at)
      VALUES (1, 1, 1, 'x', '{}', 'application/json', 0, 'succeeded', 1, '2026-01-01T00:00:00Z'),
        (1, 2, 1, 'x', '{}', 'application/json', 0, 'succeeded', 1, now())`);
    await db.sql(`
      INSERT INTO idempotency_keys (project_id, key_hash, fingerprint, claim_id, claimed_at, claimed_until, expires_at)
      VALUES (1, '', '', 1, now(), now(), '2026-01-02T03:04:05Z'), (1, '2', '', 1, now(), now(), now() + interval '1 day')`);
    expect(await overdue()).toEqual({
      'delete old jobs': '2026-01-31T00:00:00Z',
      'delete expired idempotency keys': '2026-01-02T03:04:05Z',
    });
    await maintenance.run();
    expect(await overdue()).toEqual({});
  });

  it('reads an index for each of these times', async () => {
    await db.transaction(async (tx) => {
      await tx.query('SET LOCAL enable_seqscan = off');
      for (const { name, dueSql } of maintenance.list()) {
        if (dueSql === undefined) continue;
        const plan = await tx.query<Record<string, string>>(`EXPLAIN ${dueSql}`);
        expect([name, JSON.stringify(plan)]).toEqual([name, expect.stringContaining('Index Only Scan')]);
      }
    });
  });

  it('has the size of every table and its last known number of rows, the largest first', async () => {
    await db.sql(`INSERT INTO job_workers SELECT n, now() FROM generate_series(1, 5) AS n`);
    const read = async (): Promise<Map<string, number | null>> => {
      const { tables } = await store.read(db.database);
      const sizes = tables.map((table) => table.size_bytes);
      expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
      for (const { name, size_bytes } of tables) expect([name, size_bytes]).toEqual([name, expect.any(Number)]);
      return new Map(tables.map((table) => [table.name, table.rows_estimated]));
    };
    const tables = await db.sql<{ name: string }>(
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
    );
    const before = await read();
    const names = [...tables.map(({ name }) => name), 'graphile_worker._private_jobs'];
    expect([...before.keys()].sort()).toEqual(names.sort());
    expect(before.get('job_workers')).toBeNull();
    await db.sql('ANALYZE job_workers');
    expect((await read()).get('job_workers')).toBe(5);
  });

  it('counts the objects that are not in the index, its segments and its builds', async () => {
    const read = async () => (await store.read(db.database)).index;
    const none = {
      pending_objects: 0,
      most_pending_objects: 0,
      large_objects: 0,
      segments: 0,
      building_projects: 0,
    };
    expect(await read()).toEqual(none);
    await db.sql(`
      INSERT INTO index_pending (project_id, seq, is_wide)
      VALUES (1, 1, false), (1, 2, false), (1, 3, true), (2, 4, false), (3, 5, true)`);
    await db.sql(`
      INSERT INTO index_segments (project_id, number, first_seq, last_seq, objects, weight, keys, seqs)
      VALUES (1, 1, 1, 1, 1, 1, '{}', ''), (2, 2, 1, 1, 1, 1, '{}', '')`);
    await db.sql('INSERT INTO index_builds (project_id, below_seq) VALUES (9, 9)');
    expect(await read()).toEqual({
      pending_objects: 3,
      most_pending_objects: 3,
      large_objects: 2,
      segments: 2,
      building_projects: 1,
    });
  });

  it('counts the projects whose values are to be encrypted', async () => {
    const read = async () => (await store.read(db.database)).encryption;
    const none = { pending_projects: 0, oldest_change_at: null, data_keys: [], waiting: null };
    expect(await read()).toEqual(none);
    await db.sql(`INSERT INTO data_keys (key_id, used_at) VALUES ('b', now()), ('a', now())`);
    await db.sql(`
      INSERT INTO projects (project_id, seq, name, encryption_key_id, encryption_cursor, encryption_changed_at)
      VALUES (1, 1, 'encrypted', 'k', 0, '2026-01-02T03:04:05Z'), (2, 2, 'finished', 'k', NULL, '2026-01-01T00:00:00Z')`);
    expect(await read()).toEqual({
      pending_projects: 1,
      oldest_change_at: '2026-01-02T03:04:05Z',
      data_keys: ['a', 'b'],
      waiting: null,
    });
  });

  it('has the transactions for which encryption waits, without their statements', async () => {
    const read = async () => (await store.read(db.database)).encryption.waiting;
    const writer = new pg.Client({ ...db.address, application_name: 'forgotten' });
    await writer.connect();
    try {
      await writer.query('BEGIN');
      const begun = await writer.query<{ pid: number; at: string }>(
        `SELECT pg_backend_pid() AS pid, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS at, 'hidden'`,
      );
      const [{ pid, at } = { pid: 0, at: '' }] = begun.rows;
      // The list of the second project applied before the transaction, that of the third one does not apply yet.
      await db.sql(
        `INSERT INTO projects (project_id, seq, name, encryption_key_id, encryption_cursor, encryption_changed_at)
         SELECT n, n, n::text, 'k', 0, change.at - make_interval(secs => $2::int)
         FROM (VALUES (11, $1::timestamptz + interval '1 microsecond'), (12, $1::timestamptz), (13, now() + interval '1 hour')) AS change (n, at)`,
        [`${at}Z`, LIST_APPLIES_AFTER_MS / 1_000],
      );
      const waiting = await read();
      expect(waiting).toEqual({
        projects: 1,
        since: expect.any(String),
        transactions: [
          { pid, name: 'forgotten', address: null, state: 'idle in transaction', began_at: expect.any(String) },
        ],
      });
      expect(Date.parse(waiting?.since ?? '')).toBe(Date.parse(`${at}Z`));
      expect(Date.parse(waiting?.transactions[0]?.began_at ?? '')).toBe(Date.parse(`${at}Z`));
      await writer.query('ROLLBACK');
      expect(await read()).toBeNull();
    } finally {
      await writer.end();
      await db.sql('DELETE FROM projects');
    }
  });
});

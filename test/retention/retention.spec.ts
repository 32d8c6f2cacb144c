import { describe, expect, it } from '@jest/globals';
import { serveWithCommands } from '../cli/served.js';
import type { Stowage } from '../cli/stowage.js';
import type { TestApi, TestProject } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';
import { postBatch, type PageBody } from '../objects/wire.js';

const DAY_MS = 86_400_000;
const daysAgo = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString();

interface Maintenance {
  tasks: { name: string; has_more: boolean | null; last_error: { message: string } | null }[];
}

/** Runs no background work; `expire` starts a server that does. */
let api: TestApi;
let stowage: Stowage;

serveWithCommands((served) => {
  ({ api, stowage } = served);
});

function setRetention({ projectId }: TestProject, days: unknown): ReturnType<TestApi['call']> {
  return api.call('PATCH', `/projects/${String(projectId)}`, { key: api.operatorKey, body: { retention_days: days } });
}

/** Starts a server that runs jobs, until the check is true. */
async function runUntil(check: (worker: TestApi) => Promise<boolean>): Promise<void> {
  const worker = await api.another({ WORKER: 'inline' });
  try {
    await waitFor(async () => (await check(worker)) || undefined);
  } finally {
    await worker.stop();
  }
}

async function countOf({ projectId }: TestProject): Promise<number> {
  const [row] = await api.db.sql<{ count: string }>('SELECT count(*) FROM objects WHERE project_id = $1', [projectId]);
  return Number(row?.count);
}

/** Objects of which each has another age in days. */
const aged = (name: string, count: number, days: (n: number) => number): object[] =>
  Array.from({ length: count }, (_, n) => ({
    object_id: `${name}-${String(n)}`,
    observed_at: daysAgo(days(n)),
    subject: `s${String(n % 3)}`,
    data: { temperature: n, name },
  }));

async function read<T>(project: TestProject, path: string): Promise<T> {
  const reply = await api.call('GET', path, { key: project.keys.admin });
  expect([path, reply.status]).toEqual([path, 200]);
  return reply.json<T>();
}

describe('retention_days', () => {
  it('deletes what is older, in steps, and keeps the index, averages, counts and usage exact', async () => {
    const project = await api.project();
    const other = await api.project();
    for (const { keys } of [project, other]) {
      await postBatch(
        api,
        keys.producer,
        'old',
        aged('old', 2_500, () => 40),
      );
      await postBatch(
        api,
        keys.producer,
        'mixed',
        aged('mixed', 20, (n) => (n < 8 ? 31 : 29)),
      );
    }
    // Computes the rollups of the hours.
    const average = '/objects/aggregate?op=avg&key=temperature';
    await read(project, average);
    const reply = await setRetention(project, 30);
    expect([reply.status, reply.json()]).toEqual([200, expect.objectContaining({ retention_days: 30 })]);
    await runUntil(async () => (await countOf(project)) === 12);

    expect(await countOf(other)).toBe(2_520);
    expect(await read(project, '/objects?key=name&value=old&count=exact')).toMatchObject({ count: 0 });
    expect(await read(project, '/objects?key=name&value=mixed&count=exact')).toMatchObject({ count: 12 });
    expect(await read(project, average)).toMatchObject({ results: [{ value: (8 + 19) / 2, count: 12 }] });
    const batches = await read<PageBody<{ batch_id: string; object_count: number }>>(project, '/batches');
    expect(batches.results.map(({ batch_id, object_count }) => [batch_id, object_count])).toEqual([
      ['mixed', 12],
      ['old', 0],
    ]);
    const [stored] = await api.db.sql<{ bytes: string }>(
      'SELECT sum(bytes) AS bytes FROM objects WHERE project_id = $1',
      [project.projectId],
    );
    expect(await read(project, '/usage')).toMatchObject({ objects: 12, bytes: Number(stored?.bytes) });
    expect(await stowage.run(['check'])).toMatchObject({ code: 0 });
    expect(await read(project, '/deletions')).toMatchObject({ count: 0 });

    interface Entry {
      actor: object;
      details: { object_count: number; observed_before: string };
    }
    const audit = await read<PageBody<Entry>>(project, '/audit?action=objects.expire');
    expect(audit.results.map(({ details }) => details.object_count)).toEqual([508, 1_000, 1_000]);
    for (const { actor, details } of audit.results) {
      expect(actor).toEqual({ key_id: null, role: null, name: 'retention' });
      expect(Math.abs(Date.parse(details.observed_before) - Date.parse(daysAgo(30)))).toBeLessThan(DAY_MS / 24);
    }
  });

  it('serves projects by turns', async () => {
    const projects = [await api.project(), await api.project()];
    for (const project of projects) {
      await postBatch(
        api,
        project.keys.producer,
        'old',
        aged('old', 2_100, () => 3),
      );
      await setRetention(project, 2);
    }
    const ids = projects.map(({ projectId }) => projectId);
    await runUntil(async () => {
      const [row] = await api.db.sql<{ count: string }>('SELECT count(*) FROM objects WHERE project_id = ANY ($1)', [
        ids,
      ]);
      return row?.count === '0';
    });
    const entries = await api.db.sql<{ project_id: number }>(
      `SELECT project_id FROM audit_entries WHERE action = 'objects.expire' AND project_id = ANY ($1) ORDER BY at`,
      [ids],
    );
    const order = entries.map(({ project_id }) => project_id);
    const [first, second] = order;
    expect(order).toEqual([first, second, first, second, first, second]);
    expect(first).not.toBe(second);
  });

  it('reaches deleted objects: what is older cannot be restored, and is gone; what is younger can', async () => {
    const project = await api.project();
    const { keys, projectId } = project;
    const remove = async (path: string): Promise<void> => {
      expect((await api.call('DELETE', path, { key: keys.admin })).status).toBe(204);
    };
    await postBatch(
      api,
      keys.producer,
      'mixed',
      aged('mixed', 1_500, (n) => (n < 1_200 ? 31 : 29)),
    );
    await postBatch(
      api,
      keys.producer,
      'old',
      aged('old', 2, () => 40),
    );
    await remove('/objects/old-0');
    await remove('/batches/mixed?cascade=true');
    await setRetention(project, 30);
    const kept = async (): Promise<number> => {
      const rows = await api.db.sql('SELECT FROM deleted_objects WHERE project_id = $1', [projectId]);
      return rows.length;
    };
    await runUntil(async () => (await kept()) === 300);
    const { results } = await read<PageBody<{ batch_id: string; object_count: number }>>(project, '/deletions');
    expect(results).toEqual([expect.objectContaining({ batch_id: 'mixed', object_count: 300 })]);
    const path = '/batches/mixed/restore';
    expect((await api.call('POST', path, { key: keys.admin })).json()).toMatchObject({ batches: 1, objects: 300 });
    expect(await countOf(project)).toBe(300);
    const [usage] = await api.db.sql<{ bytes: string }>(
      'SELECT sum(deleted_bytes) AS bytes FROM project_usage WHERE project_id = $1',
      [projectId],
    );
    expect(usage).toEqual({ bytes: '0' });
    expect(await stowage.run(['check'])).toMatchObject({ code: 0 });
  });

  /** Waits until a worker has ended a run with an error. @returns the error */
  async function failureOf(worker: TestApi): Promise<string | undefined> {
    const { tasks } = (await worker.call('GET', '/maintenance', { key: api.operatorKey })).json<Maintenance>();
    const task = tasks.find(({ name }) => name === 'delete objects older than the retention');
    expect(task).toBeDefined();
    return task?.has_more === false ? task.last_error?.message : undefined;
  }

  it('goes on with fewer objects where a step fails, and leaves a project of which every object fails', async () => {
    const [slow, stuck] = [await api.project(), await api.project()];
    for (const [{ keys }, count] of [
      [slow, 60],
      [stuck, 130],
    ] as const) {
      await postBatch(
        api,
        keys.producer,
        'old',
        aged('old', count, () => 3),
      );
    }
    // As if more objects took longer than a statement may.
    await api.db.sql(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF (SELECT count(*) > CASE project_id WHEN ${String(stuck.projectId)} THEN 0 ELSE 25 END FROM gone
              WHERE project_id IN (${String(slow.projectId)}, ${String(stuck.projectId)}) GROUP BY project_id) THEN
            RAISE EXCEPTION 'too many at once';
          END IF;
          RETURN NULL;
        END $$;
      CREATE TRIGGER refuse AFTER DELETE ON objects REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse()`);
    try {
      for (const project of [stuck, slow]) await setRetention(project, 2);
      await runUntil(async (worker) => {
        const failure = await failureOf(worker);
        if (failure === undefined) return false;
        expect(failure).toBe(
          `of project ${String(stuck.projectId)} 100 objects could not be deleted (P0001: 100); the last error: error P0001: too many at once`,
        );
        const metrics = await worker.call('GET', `${worker.origin}/metrics`, { key: api.operatorKey });
        expect(metrics.text).toMatch(/^stowage_retention_failures_total 1$/m);
        expect(metrics.text).toMatch(/^stowage_retention_objects_total 60$/m);
        return true;
      });
      expect([await countOf(slow), await countOf(stuck)]).toEqual([0, 130]);
    } finally {
      await api.db.sql('DROP TRIGGER refuse ON objects');
    }
    await runUntil(async () => (await countOf(stuck)) === 0);
  });

  it('deletes all objects but those that fail alone, names these, and tries them again', async () => {
    const project = await api.project();
    const { keys, projectId } = project;
    await postBatch(
      api,
      keys.producer,
      'old',
      aged('old', 60, (n) => 90 - n),
    );
    await postBatch(
      api,
      keys.producer,
      'deleted',
      aged('deleted', 30, (n) => 90 - n),
    );
    expect((await api.call('DELETE', '/batches/deleted?cascade=true', { key: keys.admin })).status).toBe(204);
    await api.db.sql(`
      CREATE FUNCTION refuse_some() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF OLD.object_id IN ('old-0', 'old-7', 'old-8') THEN RAISE EXCEPTION 'cannot be deleted'; END IF;
          IF OLD.object_id = 'deleted-3' THEN PERFORM 1 / 0; END IF;
          RETURN OLD;
        END $$`);
    const tables = ['objects', 'deleted_objects'];
    for (const table of tables) {
      await api.db.sql(
        `CREATE TRIGGER refuse_some BEFORE DELETE ON ${table} FOR EACH ROW WHEN (OLD.project_id = ${String(projectId)}) EXECUTE FUNCTION refuse_some()`,
      );
    }
    const left = async (): Promise<string[]> => {
      const rows = await api.db.sql<{ object_id: string }>(
        `SELECT object_id FROM objects WHERE project_id = $1
         UNION ALL SELECT object_id FROM deleted_objects WHERE project_id = $1 ORDER BY object_id`,
        [projectId],
      );
      return rows.map(({ object_id }) => object_id);
    };
    try {
      await setRetention(project, 2);
      const failures: string[] = [];
      await runUntil(async (worker) => {
        const failure = await failureOf(worker);
        if (failure !== undefined) failures.push(failure);
        return failure !== undefined;
      });
      expect(failures).toEqual([
        `of project ${String(projectId)} 4 objects could not be deleted (P0001: 3, 22012: 1); the last error: error 22012: division by zero`,
      ]);
      expect(await left()).toEqual(['deleted-3', 'old-0', 'old-7', 'old-8']);
      const line = `retention of project ${String(projectId)} failed; it is tried again: 4 objects could not be deleted`;
      const [entry] = await api.logWith(line);
      expect(entry?.msg).toMatch(/; ids: "old-0", "old-7", "old-8", "deleted-3"$/);
    } finally {
      for (const table of tables) await api.db.sql(`DROP TRIGGER refuse_some ON ${table}`);
    }
    await runUntil(async () => (await left()).length === 0);
    expect(await stowage.run(['check'])).toMatchObject({ code: 0 });
  });

  /** Old objects of a project, and what happens after a statement has deleted some of them: `gone`. */
  async function failing(project: TestProject, name: string, sql: string): Promise<void> {
    const objects = aged('old', 3, (n) => 90 - n);
    await postBatch(api, project.keys.producer, 'old', objects);
    await api.db.sql(`
      CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF EXISTS (SELECT FROM gone WHERE project_id = ${String(project.projectId)}) THEN ${sql} END IF;
          RETURN NULL;
        END $$;
      CREATE TRIGGER ${name} AFTER DELETE ON objects REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION ${name}()`);
    await setRetention(project, 2);
  }

  it.each(['53100', '55P03', '57014', '58030'])(
    'leaves a project to the next run after one object where the error is of none: %s',
    async (code) => {
      const project = await api.project();
      const name = `fail_${code.toLowerCase()}`;
      await failing(project, name, `RAISE EXCEPTION 'of the server' USING ERRCODE = '${code}';`);
      try {
        await runUntil(async (worker) => {
          const failure = await failureOf(worker);
          if (failure === undefined) return false;
          expect(failure).toBe(
            `of project ${String(project.projectId)} objects wait for the next run (${code}: 1); the last error: error ${code}: of the server`,
          );
          return true;
        });
      } finally {
        await api.db.sql(`DROP TRIGGER ${name} ON objects`);
      }
      await runUntil(async () => (await countOf(project)) === 0);
    },
  );

  it('reports what it could not delete also where the connection is lost meanwhile', async () => {
    const project = await api.project();
    const lost = `RAISE EXCEPTION 'of the object' USING ERRCODE = CASE
      WHEN EXISTS (SELECT FROM gone WHERE object_id = 'old-0') THEN 'P0001' ELSE '57P01' END;`;
    await failing(project, 'fail_lost', lost);
    const line = `retention of project ${String(project.projectId)} failed; it is tried again: 1 object could not be deleted (P0001: 1)`;
    try {
      await runUntil(async () => (await api.logWith(line)).length > 0);
    } finally {
      await api.db.sql('DROP TRIGGER fail_lost ON objects');
    }
  });

  it('leaves a batch that is being written to a later run, and deletes from others', async () => {
    const project = await api.project();
    const { keys, projectId } = project;
    await postBatch(
      api,
      keys.producer,
      'written',
      aged('written', 3, () => 3),
    );
    await postBatch(
      api,
      keys.producer,
      'free',
      aged('free', 3, () => 3),
    );
    await setRetention(project, 2);
    await api.db.transaction(async (tx) => {
      await tx.query(`SELECT FROM batches WHERE project_id = $1 AND batch_id = 'written' FOR UPDATE`, [projectId]);
      await runUntil(async () => (await countOf(project)) === 3);
    });
    const left = await read<PageBody<{ batch_id: string }>>(project, '/objects');
    expect(left.results.map(({ batch_id }) => batch_id)).toEqual(['written', 'written', 'written']);
    await runUntil(async () => (await countOf(project)) === 0);
  });

  it('deletes nothing without a retention, after it was ended, and before its end', async () => {
    const [never, ended, early] = [await api.project(), await api.project(), await api.project()];
    const due = await api.project();
    for (const { keys } of [never, ended, early, due]) {
      await postBatch(
        api,
        keys.producer,
        'b',
        aged('o', 2, () => 100),
      );
    }
    await setRetention(ended, 1);
    await setRetention(ended, null);
    await setRetention(early, 101);
    await setRetention(due, 99);
    await runUntil(async () => (await countOf(due)) === 0);
    expect(await Promise.all([never, ended, early].map(countOf))).toEqual([2, 2, 2]);
  });

  it('is set by an operator, is audited, and accepts 1 to 36,500 days', async () => {
    const project = await api.project();
    const path = `/projects/${String(project.projectId)}`;
    for (const days of [0, -1, 1.5, '30', 36_501])
      expect([days, (await setRetention(project, days)).status]).toEqual([days, 400]);
    const forbidden = await api.call('PATCH', path, { key: project.keys.admin, body: { retention_days: 1 } });
    expect(forbidden.status).toBe(403);
    expect(await read(project, path)).toMatchObject({ retention_days: null });
    expect((await setRetention(project, 36_500)).status).toBe(200);
    const [entry] = await api.db.sql<{ details: string }>(
      `SELECT details FROM audit_entries WHERE action = 'project.update' AND target_id = $1`,
      [String(project.projectId)],
    );
    expect(JSON.parse(entry?.details ?? '')).toEqual({ retention_days: { from: null, to: 36_500 } });
    const id = String(project.projectId);
    expect(await stowage.run(['project', 'set-limits', id, '--retention-days', '7'])).toMatchObject({
      code: 0,
      stdout: 'objects_max none, bytes_max none, retention_days 7\n',
    });
    expect(await read(project, path)).toMatchObject({ retention_days: 7 });
  });
});

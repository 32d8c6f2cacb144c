import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { waitFor } from './jobs.js';

interface Report {
  tables: { name: string; rows_estimated: number | null; size_bytes: number }[];
  tasks: {
    name: string;
    overdue_since: string | null;
    last_run_at: string | null;
    has_more: boolean | null;
    last_error: { at: string; message: string } | null;
  }[];
  index: Record<string, number>;
}

/** Runs jobs. */
let inline: TestApi;
let separate: TestApi;
beforeAll(async () => {
  inline = await TestApi.start({ WORKER: 'inline' });
  separate = await inline.another({ WORKER: 'separate' });
});
afterAll(async () => {
  await separate.stop();
  await inline.stop();
});

const read = async (api: TestApi): Promise<Report> =>
  (await api.call('GET', '/maintenance', { key: api.operatorKey })).json<Report>();

describe('GET /maintenance', () => {
  it('returns the last run of every task in a process that runs jobs, without errors', async () => {
    const { tasks } = await waitFor(async () => {
      const report = await read(inline);
      return report.tasks.every((task) => task.last_run_at !== null) ? report : undefined;
    });
    expect(tasks.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['delete old jobs', 'delete expired idempotency keys', 'delete old marks of rollups']),
    );
    for (const task of tasks) {
      expect(task).toEqual({
        name: task.name,
        overdue_since: null,
        last_run_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        has_more: false,
        last_error: null,
      });
    }
    expect(new Set(tasks.map(({ name }) => name)).size).toBe(tasks.length);
  });

  it('returns the same tasks without runs in a process that runs no jobs', async () => {
    const [here, there] = [await read(separate), await read(inline)];
    expect(here.tasks.map(({ name }) => name)).toEqual(there.tasks.map(({ name }) => name));
    for (const { name, ...task } of here.tasks) {
      expect([name, task]).toEqual([
        name,
        { overdue_since: null, last_run_at: null, has_more: null, last_error: null },
      ]);
    }
  });

  it('returns the sizes of the tables, those of the queue among them', async () => {
    const { tables } = await read(separate);
    const names = ['jobs', 'job_parts', 'idempotency_keys', 'rollup_marks', 'rate_limit_counts', 'audit_entries'];
    expect(tables.map(({ name }) => name)).toEqual(
      expect.arrayContaining([...names, 'objects', 'graphile_worker._private_jobs']),
    );
    // An empty table has pages of its indexes.
    for (const { name, size_bytes } of tables.filter((table) => names.includes(table.name))) {
      expect([name, size_bytes > 0]).toEqual([name, true]);
    }
  });

  it('counts the objects that wait to be indexed', async () => {
    const { index: before } = await read(separate);
    const { keys } = await separate.project();
    const objects = [1, 2, 3].map((n) => ({ object_id: String(n), data: { n } }));
    await separate.call('POST', '/batches', { key: keys.producer, body: { batch_id: 'b', objects } });
    expect((await read(separate)).index).toEqual({
      ...before,
      pending_objects: Number(before.pending_objects) + 3,
      most_pending_objects: Math.max(Number(before.most_pending_objects), 3),
    });
  });
});

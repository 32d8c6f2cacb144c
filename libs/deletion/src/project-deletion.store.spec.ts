import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Maintenance, MaintenanceTask } from '#jobs';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { ProjectDeletionStore } from './project-deletion.store.js';

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

const batches = async (): Promise<unknown[]> =>
  (await db.sql<{ project_id: number }>('SELECT project_id FROM batches ORDER BY 1')).map((row) => row.project_id);

it('deletes late rows of deleted projects on a cluster by statements of one project', async () => {
  const [DELETED, KEPT] = [1, 2];
  await db.sql(
    `INSERT INTO deleted_projects (project_id, deleted_at, counts, finished_at) VALUES ($1, now(), '{}', now())`,
    [DELETED],
  );
  for (const projectId of [DELETED, KEPT])
    await db.sql(`INSERT INTO batches (project_id, batch_id, seq, object_count, revision) VALUES ($1, 'b', 1, 0, 1)`, [
      projectId,
    ]);
  const tasks: MaintenanceTask[] = [];
  const maintenance: Pick<Maintenance, 'add'> = { add: (...added) => tasks.push(...added) };
  db.database.isDistributed = true;
  new ProjectDeletionStore(db.database, maintenance as Maintenance);
  const [task] = tasks;
  if (task === undefined || !('projectSql' in task)) throw new Error('the task is not one of each project');
  expect(await db.sql(task.projectsSql)).toEqual([{ project_id: DELETED }]);
  expect(await db.sql(task.projectSql, [DELETED])).toEqual([{ has_more: true }]);
  expect(await batches()).toEqual([KEPT]);
  expect(await db.sql(task.projectSql, [DELETED])).toEqual([{ has_more: false }]);
});

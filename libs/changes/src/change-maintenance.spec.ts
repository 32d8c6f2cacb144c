import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Maintenance, MaintenanceTask } from '#jobs';
import { Config } from '#platform';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { waitFor } from '../../../test/jobs/jobs.js';
import { ChangeMaintenance } from './change-maintenance.js';
import { ChangeStore } from './change.store.js';

const [FOLLOWED, UNREAD, NEVER] = [1, 2, 3];

let db: TestDatabase;
let tasks: MaintenanceTask[];

function createTasks(): void {
  tasks = [];
  const maintenance: Pick<Maintenance, 'add'> = { add: (...added) => tasks.push(...added) };
  const { database } = db;
  const config = new Config({ CHANGES_HOURS: '5' });
  new ChangeMaintenance(maintenance as Maintenance, config, new ChangeStore(database), database);
}

beforeAll(async () => {
  db = await cloneDatabase();
  createTasks();
});
afterAll(() => db.close());

beforeEach(async () => {
  await db.sql('TRUNCATE change_feeds, changes, pending_changes, webhooks');
  await db.sql(
    `INSERT INTO change_feeds (project_id, last_position, deleted_until, read_at)
     VALUES ($1, 7, 2, now()), ($2, 4, 0, now() - interval '6 hours')`,
    [FOLLOWED, UNREAD],
  );
});

async function addPending(projectId: number): Promise<void> {
  await db.sql(
    `INSERT INTO pending_changes (project_id, wal_position, kind, batch_id, is_batch, object_ids, objects, changed_at)
     VALUES ($1, pg_current_wal_insert_lsn(), 'deleted', 'b', false, '{o}', 1, now())`,
    [projectId],
  );
}

async function addChange(projectId: number, position: number, hours: number): Promise<void> {
  await db.sql(
    `INSERT INTO changes (project_id, position, kind, batch_id, is_batch, object_ids, objects, changed_at)
     VALUES ($1, $2, 'deleted', 'b', false, '{o}', 1, now() - $3 * interval '1 hour')`,
    [projectId, position, hours],
  );
}

/** Runs every task once, as a run of the maintenance does. */
async function run(): Promise<void> {
  for (const task of tasks) {
    if ('run' in task) await task.run();
    else if ('sql' in task) await db.sql(task.sql);
    else {
      for (const { project_id: projectId } of await db.sql<{ project_id: number }>(task.projectsSql))
        await db.sql(task.projectSql, [projectId]);
    }
  }
}

const positions = async (): Promise<string[]> =>
  (await db.sql<{ text: string }>(`SELECT project_id || ':' || position AS text FROM changes ORDER BY 1`)).map(
    ({ text }) => text,
  );
const feeds = (): Promise<object[]> =>
  db.sql(
    `SELECT project_id, last_position, deleted_until, read_at IS NOT NULL AS is_read FROM change_feeds ORDER BY 1`,
  );

describe('the maintenance of changes', () => {
  it('gives those of followed projects positions, and deletes those that nobody follows', async () => {
    for (const projectId of [FOLLOWED, UNREAD, NEVER, FOLLOWED]) await addPending(projectId);
    await run();
    expect(await positions()).toEqual(['1:8', '1:9']);
    expect(await db.sql('SELECT FROM pending_changes')).toEqual([]);
  });

  it('makes the cursors of a project invalid that nobody has read for CHANGES_HOURS', async () => {
    await addChange(UNREAD, 4, 1);
    await run();
    expect(await feeds()).toEqual([
      { project_id: FOLLOWED, last_position: '7', deleted_until: '2', is_read: true },
      { project_id: UNREAD, last_position: '5', deleted_until: '5', is_read: false },
    ]);
    expect(await positions()).toEqual([]);
  });

  it('keeps the feed of a project while a webhook waits for its batches, however long there are none', async () => {
    await db.sql(
      `INSERT INTO webhooks (project_id, webhook_id, name, url, secret, events, is_enabled, change_position)
       VALUES ($1, 1, 'w', 'http://192.0.2.1/', 'whsec_', '{batch.stored}', true, 4)`,
      [UNREAD],
    );
    await run();
    const kept = { project_id: UNREAD, last_position: '4', deleted_until: '0', is_read: true };
    expect(await feeds()).toContainEqual(kept);
    await db.sql('UPDATE webhooks SET is_enabled = false');
    await run();
    expect(await feeds()).not.toContainEqual(kept);
  });

  it('deletes changes older than CHANGES_HOURS, and remembers up to which position', async () => {
    await addChange(FOLLOWED, 5, 6);
    await addChange(FOLLOWED, 6, 4);
    await run();
    expect(await positions()).toEqual(['1:6']);
    expect(await feeds()).toContainEqual({
      project_id: FOLLOWED,
      last_position: '7',
      deleted_until: '5',
      is_read: true,
    });
  });

  it('keeps at most a million changes of a project', async () => {
    await db.sql(`UPDATE change_feeds SET last_position = 1000008 WHERE project_id = $1`, [FOLLOWED]);
    await addChange(FOLLOWED, 8, 0);
    await addChange(FOLLOWED, 9, 0);
    await run();
    expect(await positions()).toEqual(['1:9']);
  });

  it('deletes only the changes before the first that is kept, so that cursors after it stay valid', async () => {
    await addChange(FOLLOWED, 4, 6);
    await addChange(FOLLOWED, 5, 1);
    // Of a long transaction, whose change has an early time and a late position.
    await addChange(FOLLOWED, 6, 7);
    await run();
    expect(await positions()).toEqual(['1:5', '1:6']);
    expect(await feeds()).toContainEqual({
      project_id: FOLLOWED,
      last_position: '7',
      deleted_until: '4',
      is_read: true,
    });
  });

  it('finds old changes on a cluster, too', async () => {
    db.database.isDistributed = true;
    createTasks();
    await addChange(FOLLOWED, 5, 6);
    await addChange(FOLLOWED, 6, 4);
    await run();
    expect(await positions()).toEqual(['1:6']);
    db.database.isDistributed = false;
    createTasks();
  });

  it('does not lock the feed of one project while it waits for that of another', async () => {
    await db.sql(`UPDATE change_feeds SET read_at = now()`);
    for (const projectId of [FOLLOWED, UNREAD]) await addPending(projectId);
    let running: Promise<void> | undefined;
    await db.transaction(async (tx) => {
      await tx.query('SELECT FROM change_feeds WHERE project_id = $1 FOR UPDATE', [UNREAD]);
      running = run();
      // A reader of the other project: it fails where the feed stays locked.
      await waitFor(async () => {
        await new ChangeStore(db.database).collect(FOLLOWED);
        return (await positions()).length > 0 || undefined;
      });
    });
    await running;
    expect(await positions()).toEqual(['1:8', '2:5']);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isMissingProject } from '#database';
import { Config } from '#platform';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { QuotaStore } from './quota.store.js';
import { UsageStore } from './usage.store.js';

const [EXISTING, DELETED] = [1, 2];

let db: TestDatabase;
let quotas: QuotaStore;
let usage: UsageStore;

beforeAll(async () => {
  db = await cloneDatabase();
  quotas = new QuotaStore(db.database, new Config({}));
  usage = new UsageStore(quotas, db.database);
  await db.sql(`INSERT INTO projects (project_id, name, seq) VALUES ($1, 'existing', 1)`, [EXISTING]);
});
afterAll(() => db.close());

describe('the usage of a project that was deleted', () => {
  it.each([
    { objects: 1, bytes: 2 },
    { objects: -1, bytes: -2 },
  ])('rejects the change %j', async (change) => {
    const adding = db.transaction((tx) => usage.add(tx, DELETED, change));
    const error = await adding.catch((cause: unknown) => cause);
    expect(isMissingProject(error)).toBe(true);
  });

  it('has no room', async () => {
    const adding = quotas.requireRoom(db.database, DELETED, { objects: 1, bytes: 1 });
    await expect(adding).rejects.toMatchObject({ slug: 'not-found' });
    const sharing = db.transaction((tx) => quotas.addExactly(tx, DELETED, { objects: 1, bytes: 1 }));
    await expect(sharing).rejects.toMatchObject({ slug: 'not-found' });
  });

  it('counts no requests, and those of other projects are counted', async () => {
    await usage.addRequests(
      new Map([
        [EXISTING, 3],
        [DELETED, 4],
      ]),
    );
    expect(await db.sql('SELECT project_id, requests FROM project_requests')).toEqual([
      { project_id: EXISTING, requests: '3' },
    ]);
  });
});

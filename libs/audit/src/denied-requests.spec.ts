import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { FastifyRequest } from 'fastify';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { allowConnections } from '../../../test/harness/tables.js';
import { AuditLog } from './audit-log.js';
import { DeniedRequests } from './denied-requests.js';

interface Recorded {
  project_id: number;
  actor_name: string;
  count: number;
}

let db: TestDatabase;
let denied: DeniedRequests;

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());
beforeEach(async () => {
  await db.sql('TRUNCATE audit_entries, audit_chains');
  denied = new DeniedRequests(new AuditLog(), db.database);
});
afterEach(() => denied.onApplicationShutdown());

/** A request that gets 403. */
function deny(projectId: number, keyId = String(projectId), url = '/route'): void {
  const principal = { projectId, keyId, role: 'analyst', keyName: `key ${keyId}`, deviceId: null };
  const request = { principal, method: 'GET', routeOptions: { url }, id: 'r', ip: '192.0.2.1' };
  denied.add(request as unknown as FastifyRequest);
}

/** The entries, by project. */
function recorded(): Promise<Recorded[]> {
  return db.sql(`
    SELECT project_id, actor_name, (details::jsonb ->> 'count')::int AS count FROM audit_entries
    ORDER BY project_id, number`);
}

describe('denied requests', () => {
  const PROJECTS = 20;

  it('wait for the next minute while the database is away, which costs one attempt for all projects', async () => {
    for (let project = 1; project <= PROJECTS; project++) deny(project);
    const attempts = jest.spyOn(db.database, 'transactionOnce');
    await allowConnections(db.address, false);
    try {
      await denied.flush();
      expect(attempts).toHaveBeenCalledTimes(1);
      for (let project = 1; project <= PROJECTS; project++) deny(project);
    } finally {
      attempts.mockRestore();
      await allowConnections(db.address, true);
    }
    await denied.flush();
    const rows = await recorded();
    expect(rows).toHaveLength(PROJECTS);
    expect(new Set(rows.map(({ count }) => count))).toEqual(new Set([2]));
  });

  it('of other projects are recorded where the chain of one cannot be written', async () => {
    await db.sql(`ALTER TABLE audit_entries ADD CONSTRAINT away CHECK (project_id <> 1)`);
    try {
      deny(1);
      deny(2);
      await denied.flush();
      expect(await recorded()).toMatchObject([{ project_id: 2 }]);
    } finally {
      await db.sql(`ALTER TABLE audit_entries DROP CONSTRAINT away`);
    }
    await denied.flush();
    expect(await recorded()).toMatchObject([{ project_id: 1 }, { project_id: 2 }]);
  });

  it('keep their limits while they cannot be written', async () => {
    await db.sql('ALTER TABLE audit_entries RENAME TO audit_entries_away');
    try {
      for (let round = 0; round < 3; round++) {
        for (let key = 0; key < 60; key++) deny(1, String(round * 60 + key));
        await denied.flush();
      }
    } finally {
      await db.sql('ALTER TABLE audit_entries_away RENAME TO audit_entries');
    }
    await denied.flush();
    const rows = await recorded();
    expect(rows).toHaveLength(101);
    expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(180);
  });

  it('of a project are in its own chain, also while ten others fill the list', async () => {
    for (let project = 1; project <= 10; project++) {
      for (let route = 0; route < 105; route++) deny(project, String(project), `/${String(route)}`);
    }
    deny(11, '11');
    deny(12, '12');
    deny(12, '13');
    await denied.flush();
    const rows = await recorded();
    expect(rows).toHaveLength(10 * 101 + 2);
    expect(rows.slice(-2)).toEqual([
      { project_id: 11, actor_name: 'several keys', count: 1 },
      { project_id: 12, actor_name: 'several keys', count: 2 },
    ]);
  });

  it('need at most 2,001 entries for any number of projects', async () => {
    for (let project = 1; project <= 2_100; project++) deny(project);
    await denied.flush();
    const rows = await recorded();
    expect(rows).toHaveLength(2_001);
    expect(rows[0]).toEqual({ project_id: 0, actor_name: 'several keys', count: 100 });
  });

  it('do not stop a server from stopping while their chain is locked', async () => {
    deny(1);
    await denied.flush();
    deny(1);
    await db.transaction(async (tx) => {
      await tx.query('SELECT FROM audit_chains WHERE project_id = 1 FOR UPDATE');
      await denied.onApplicationShutdown();
      expect(await recorded()).toHaveLength(1);
    });
  });
});

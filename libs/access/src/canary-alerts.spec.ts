import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { AuditLog } from '#audit';
import { EventStore } from '#events';
import { Telemetry } from '#telemetry';
import type { FastifyRequest } from 'fastify';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { CanaryAlerts } from './canary-alerts.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

it('a server stops also while the chain of a project whose canary key was used is locked', async () => {
  const alerts = new CanaryAlerts(new AuditLog(), new EventStore(db.sequence, Telemetry.off()), db.database, null);
  const request = { method: 'GET', routeOptions: { url: '/route' }, headers: {}, id: 'r', ip: '192.0.2.1' };
  await db.sql(`INSERT INTO audit_chains VALUES (1, 0, '', '-infinity')`);
  await db.transaction(async (tx) => {
    await tx.query('SELECT FROM audit_chains WHERE project_id = 1 FOR UPDATE');
    const key = { isCanary: true, keyId: '1', keyName: 'bait', role: 'analyst', projectId: 1 } as const;
    alerts.add(key, request as unknown as FastifyRequest);
    await alerts.onApplicationShutdown();
    expect(await db.sql('SELECT FROM audit_entries')).toEqual([]);
  });
  await alerts.flush();
  expect(await db.sql('SELECT FROM audit_entries')).toHaveLength(1);
});

/**
 * OWASP API6:2023, Unrestricted Access to Sensitive Business Flows. The attacker repeats a request that must count once.
 *
 * Also: test/idempotency (repeated POSTs), test/jobs/once.spec.ts (repeated jobs), test/usage/quotas.spec.ts (concurrent writes at
 * the quota), test/access/devices.spec.ts (keys that are created while their device moves), canary-keys.spec.ts.
 */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

const twenty = <T>(send: (n: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: 20 }, (_, n) => send(n)));

it('an update that a device reports 20 times at once is one event', async () => {
  const body = { firmware: '1.0.0', timestamp: 1700000000 };
  const path = `/firmware/${project.deviceId}`;
  const replies = await twenty(() => api.call('POST', path, { key: project.keys.device, body }));
  expect(new Set(replies.map(({ status, text }) => `${String(status)} ${text}`)).size).toBe(1);
  const events = await api.call('GET', path, { key: project.keys.analyst });
  expect(events.json()).toHaveLength(1);
});

it('a device that 20 requests create at once is one device with one key', async () => {
  const body = { device_id: `contested-${String(project.projectId)}` };
  const replies = await twenty(() => api.call('POST', '/devices', { key: project.keys.admin, body }));
  expect(replies.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(19).fill(409)]);
  expect(await api.db.sql('SELECT FROM api_keys WHERE device_id = $1', [body.device_id])).toHaveLength(1);
});

it('a key that is revoked while it is rotated 20 times works no longer', async () => {
  const path = `/projects/${String(project.projectId)}/keys`;
  const { admin } = project.keys;
  const created = await api.call('POST', path, { key: admin, body: { name: 'contested', role: 'analyst' } });
  const { key, key_id } = created.json<{ key: string; key_id: string }>();
  const replies = await twenty((n) =>
    n === 10
      ? api.call('DELETE', `${path}/${key_id}`, { key: admin })
      : api.call('POST', `${path}/${key_id}/rotate`, { key: admin, body: { overlap_seconds: 60 } }),
  );
  for (const { status } of replies) expect([201, 204, 409]).toContain(status);
  expect((await api.call('GET', '/me', { key })).status).toBe(401);
});

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { KeyCache } from '#access';
import { Client } from 'pg';
import { hashOf } from '../../libs/access/src/api-key.js';
import { Stowage } from '../cli/stowage.js';
import { settingsFor, TestApi, type TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { RUN } from '../harness/run.js';
import { waitFor } from '../jobs/jobs.js';

/**
 * A server that is not notified, and does not notice it, uses a key for 10 minutes. The bound of 5 seconds has specs with a clock
 * of their own: here a busy machine adds to it.
 */
const NOTIFIED_WITHIN_MS = 30_000;

interface Key {
  key_id: string;
  key: string;
}

async function createKey(api: TestApi, { projectId, keys }: TestProject): Promise<Key> {
  const body = { name: 'changed on another server', role: 'analyst' };
  return (await api.call('POST', `/projects/${String(projectId)}/keys`, { key: keys.admin, body })).json<Key>();
}

describe('with another server process', () => {
  let api: TestApi;
  let project: TestProject;
  let stowage: Stowage;
  let url: string;

  beforeAll(async () => {
    api = await TestApi.start();
    project = await api.project();
    stowage = await Stowage.create({ ...settingsFor(api.db), STOWAGE_OPERATOR_KEY: api.operatorKey });
    url = await stowage.serve();
    await listeners(2);
  });
  afterAll(async () => {
    await stowage.remove();
    await api.stop();
  });

  const LISTENERS = `datname = current_database() AND application_name = 'stowage listener'`;

  /** Waits until this number of servers listens. */
  async function listeners(count: number): Promise<void> {
    const listening = `SELECT FROM pg_stat_activity WHERE ${LISTENERS} AND state = 'idle' AND query LIKE 'LISTEN%'`;
    await waitFor(async () => ((await api.db.sql(listening)).length >= count ? true : undefined));
  }

  const statusOf = async ({ key }: Key): Promise<number> =>
    (await api.call('GET', `${url}/api/v1/batches`, { key })).status;

  const revoke = async ({ key_id }: Key): Promise<void> => {
    const path = `/projects/${String(project.projectId)}/keys/${key_id}`;
    expect((await api.call('DELETE', path, { key: project.keys.admin })).status).toBe(204);
  };

  /** Uses a key at the other server until the response is this one. */
  async function untilStatus(status: number, key: Key): Promise<void> {
    const end = performance.now() + NOTIFIED_WITHIN_MS;
    while ((await statusOf(key)) !== status) {
      if (performance.now() > end) throw new Error('the key still works');
      await sleep(10);
    }
  }

  it('a key that is revoked at one of them is rejected at the other', async () => {
    const key = await createKey(api, project);
    expect(await statusOf(key)).toBe(200);
    await revoke(key);
    await untilStatus(401, key);
  });

  it('a key that is revoked by the command line is rejected', async () => {
    const key = await createKey(api, project);
    expect(await statusOf(key)).toBe(200);
    const command = ['key', 'revoke', key.key_id, '--project', String(project.projectId)];
    expect(await stowage.run(command)).toMatchObject({ code: 0 });
    await untilStatus(401, key);
  });

  it('the keys of a device that is moved are rejected', async () => {
    const { device } = project.keys;
    const other = await api.project();
    expect(await statusOf({ key_id: '', key: device })).toBe(403);
    const body = { project_id: other.projectId };
    const moved = await api.call('PATCH', `/devices/${project.deviceId}`, { key: api.operatorKey, body });
    expect(moved.status).toBeLessThan(300);
    await untilStatus(401, { key_id: '', key: device });
  });

  it('a key that is revoked while no server listens is rejected', async () => {
    const key = await createKey(api, project);
    expect(await statusOf(key)).toBe(200);
    await api.db.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${LISTENERS}`);
    await revoke(key);
    await untilStatus(401, key);
  });

  it('a key that is revoked after the servers listen again is rejected', async () => {
    await listeners(2);
    const key = await createKey(api, project);
    expect(await statusOf(key)).toBe(200);
    await revoke(key);
    await untilStatus(401, key);
  });
});

describe('a key in steady use', () => {
  it('costs no query, also 5 seconds after its look-up', async () => {
    const api = await TestApp.start();
    const now = performance.now.bind(performance);
    const clock = jest.spyOn(performance, 'now');
    const queries = jest.spyOn(Client.prototype, 'query');
    try {
      const project = await api.project();
      const { key } = await createKey(api, project);
      const cache = api.app.get(KeyCache);
      await waitFor(() => Promise.resolve(cache.beginLookUp().session === 0 ? undefined : true));
      expect((await api.call('GET', '/batches?page_size=1&count=none', { key })).status).toBe(200);
      clock.mockImplementation(() => now() + 6_000);
      // The server checks every 2 seconds that notifications arrive.
      const hash = hashOf(key, RUN.keySecret).toString('latin1');
      await waitFor(() => Promise.resolve(cache.find(hash)));
      queries.mockClear();
      for (let i = 0; i < 100; i++)
        expect((await api.call('GET', '/batches?page_size=1&count=none', { key })).status).toBe(200);
      const ofKeys = queries.mock.calls.filter(([statement]) => JSON.stringify(statement).includes('api_keys'));
      expect(ofKeys).toEqual([]);
    } finally {
      clock.mockRestore();
      queries.mockRestore();
      await api.stop();
    }
  });

  it('is written once in a minute as used, without another look-up', async () => {
    const api = await TestApp.start();
    const start = Date.now();
    const clock = jest.spyOn(Date, 'now').mockReturnValue(start);
    try {
      const project = await api.project();
      const { key_id, key } = await createKey(api, project);
      const usedAt = async (): Promise<unknown> => {
        const rows = await api.db.sql<{ used: string }>(
          `SELECT extract(epoch FROM last_used_at) * 1000 AS used FROM api_keys WHERE key_id = $1`,
          [key_id],
        );
        return Number(rows[0]?.used);
      };
      for (const [afterMs, usedAfterMs] of [
        [0, 0],
        [59_000, 0],
        [60_000, 60_000],
        [90_000, 60_000],
        [120_000, 120_000],
      ] as const) {
        clock.mockReturnValue(start + afterMs);
        await api.call('GET', '/batches?page_size=1&count=none', { key });
        // A request does not wait for the write.
        for (let i = 0; i < 200 && (await usedAt()) !== start + usedAfterMs; i++) await sleep(5);
        expect(await usedAt()).toBe(start + usedAfterMs);
      }
    } finally {
      clock.mockRestore();
      await api.stop();
    }
  });
});

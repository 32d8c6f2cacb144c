import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { withChecksum } from '#platform';
import { Client } from 'pg';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { RUN } from '../harness/run.js';
import { createDatabase, dropDatabase, Tables } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';

const NEW_SECRET = 'a new secret of the tests, 32 characters';
/** The settings of a server whose secret is rotated; without the second one the rotation is finished. */
const ROTATED = { STOWAGE_KEY_SECRET: NEW_SECRET };
const ROTATING = { ...ROTATED, STOWAGE_KEY_SECRET_PREVIOUS: RUN.keySecret };

const statusOf = async (api: TestApi, key: string): Promise<number> =>
  (await api.call('GET', '/batches', { key })).status;

describe('while the key secret is rotated', () => {
  let before: TestApi;
  let project: TestProject;
  let others: TestApi[] = [];

  beforeAll(async () => {
    before = await TestApi.start();
    project = await before.project();
  });
  afterEach(async () => {
    for (const other of others) await other.stop();
    others = [];
  });
  afterAll(() => before.stop());

  async function server(settings: Record<string, string>): Promise<TestApi> {
    const other = await before.another(settings);
    others.push(other);
    return other;
  }

  it('keys of the previous secret work, and those that were used work without it afterwards', async () => {
    const { admin, analyst } = project.keys;
    expect(await statusOf(await server(ROTATED), admin)).toBe(401);
    const rotating = await server(ROTATING);
    for (let i = 0; i < 2; i++) expect(await statusOf(rotating, admin)).toBe(200);
    const after = await server(ROTATED);
    expect([await statusOf(after, admin), await statusOf(after, analyst)]).toEqual([200, 401]);
    expect(await statusOf(rotating, analyst)).toBe(200);
    expect(await statusOf(after, analyst)).toBe(200);
  });

  it('a canary key that was used keeps raising alerts without the previous secret', async () => {
    const path = `/projects/${String(project.projectId)}/keys`;
    const body = { name: 'bait', role: 'analyst', canary: true };
    const bait = (await before.call('POST', path, { key: project.keys.admin, body })).json<{
      key: string;
      key_id: string;
    }>();
    const alerts = `SELECT FROM audit_entries WHERE action = 'key.canary' AND target_id = $1`;
    const hasAlerts = (count: number): Promise<true> =>
      waitFor(async () => (await before.db.sql(alerts, [bait.key_id])).length === count || undefined);
    const secretId = async (): Promise<string | undefined> => {
      const text = `SELECT secret_id FROM api_keys WHERE key_id = $1`;
      return (await before.db.sql<{ secret_id: string }>(text, [bait.key_id]))[0]?.secret_id;
    };
    const previous = await secretId();
    expect(await statusOf(await server(ROTATING), bait.key)).toBe(401);
    await waitFor(async () => (await secretId()) !== previous || undefined);
    await hasAlerts(1);
    expect(await statusOf(await server(ROTATED), bait.key)).toBe(401);
    await hasAlerts(2);
  });

  it('servers with either secret as the current one accept each other’s keys', async () => {
    const one = await server(ROTATING);
    const two = await server({ STOWAGE_KEY_SECRET: RUN.keySecret, STOWAGE_KEY_SECRET_PREVIOUS: NEW_SECRET });
    const [ofOne, ofTwo] = [await one.project(), await two.project()];
    for (const key of [ofOne.keys.admin, ofTwo.keys.admin])
      for (const each of [one, two, one]) expect(await statusOf(each, key)).toBe(200);
  });

  it('a request with the Idempotency-Key of one before gets its response again, and another request is rejected', async () => {
    const { projectId, keys } = project;
    const post = (api: TestApi, name: string): Promise<Reply> =>
      api.call('POST', `/projects/${String(projectId)}/keys`, {
        key: keys.admin,
        body: { name, role: 'analyst' },
        headers: { 'Idempotency-Key': 'of-the-previous-secret' },
      });
    const first = await post(before, 'created once');
    const rotating = await server(ROTATING);
    const second = await post(rotating, 'created once');
    expect([second.status, second.text]).toEqual([201, first.text]);
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expectProblem(await post(rotating, 'another body'), 'idempotency-key-reused');
    expect(await before.db.sql('SELECT FROM api_keys WHERE name = $1', ['created once'])).toHaveLength(1);
  });
});

describe('the keys of the first start', () => {
  it('are printed also after the key secret was rotated, and work', async () => {
    const db = new Tables(await createDatabase());
    const servers: TestApi[] = [];
    try {
      const start = async (settings: Record<string, string>): Promise<TestApi> => {
        const server = await TestApi.startOn(db, { STOWAGE_OPERATOR_KEY: '', ...settings });
        servers.push(server);
        return server;
      };
      const keyLines = ({ printedLines }: TestApi): string[] => printedLines.filter((line) => line.includes(' key'));
      const first = keyLines(await start({}));
      expect(first).toHaveLength(2);
      const rotating = await start(ROTATING);
      expect(keyLines(rotating)).toEqual(first);
      const [key = ''] = /stw_admin_\w+/.exec(first.join('\n')) ?? [];
      expect(await statusOf(rotating, key)).toBe(200);
      expect(await statusOf(await start(ROTATED), key)).toBe(200);
    } finally {
      for (const server of servers) await server.stop();
      await db.close();
      await dropDatabase(db.address);
    }
  });
});

describe('a rejected key', () => {
  it('costs one query also with a previous secret, whether it is unknown, revoked or expired', async () => {
    const api = await TestApp.start({ STOWAGE_KEY_SECRET_PREVIOUS: NEW_SECRET });
    const queries = jest.spyOn(Client.prototype, 'query');
    try {
      const { keys } = await api.project();
      await api.db.sql(`UPDATE api_keys SET revoked_at = now() WHERE role = 'analyst'`);
      await api.db.sql(`UPDATE api_keys SET expires_at = now() WHERE role = 'producer'`);
      for (const key of [withChecksum(`stw_analyst_${'x'.repeat(30)}`), keys.analyst, keys.producer]) {
        queries.mockClear();
        expect(await statusOf(api, key)).toBe(401);
        const ofKeys = queries.mock.calls.filter(([statement]) => JSON.stringify(statement).includes('api_keys'));
        expect(ofKeys).toHaveLength(1);
      }
    } finally {
      queries.mockRestore();
      await api.stop();
    }
  });
});

/** The threshold of a webhook needs the values of a key, and the key is put on the list of encrypted keys: at the same time. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { waitFor } from '../jobs/jobs.js';

let api: TestApi;
let project: TestProject;
const dataKey = Buffer.alloc(32, 7).toString('base64');

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate', STOWAGE_DATA_KEY: dataKey });
  project = await api.project();
});
afterAll(() => api.stop());

const threshold = (key: string): object => ({ op: 'avg', key, bucket: '1h', compare: { $gt: 1 } });

const encrypt = (key: string): Promise<Reply> =>
  api.call('PATCH', `/projects/${String(project.projectId)}`, {
    key: api.operatorKey,
    body: { encrypted_keys: [key] },
  });

const create = (key: string): Promise<Reply> => {
  const url = 'http://receiver.invalid/';
  const body = { name: 'w', url, events: ['threshold.reached'], threshold: threshold(key), is_enabled: false };
  return api.call('POST', '/webhooks', { key: project.keys.admin, body });
};

const change = (id: string, key: string): Promise<Reply> =>
  api.call('PATCH', `/webhooks/${id}`, { key: project.keys.admin, body: { threshold: threshold(key) } });

/** Sends the second request while the transaction of the first one waits for its entry in the audit log, with all else done. */
async function atTheSameTime(send: (() => Promise<Reply>)[]): Promise<Reply[]> {
  const waiting = (count: number): Promise<true> =>
    waitFor(async () => {
      const rows = await api.db.sql(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rows.length >= count ? true : undefined;
    });
  const replies: Promise<Reply>[] = [];
  await api.db.transaction(async (tx) => {
    await tx.query('SELECT FROM audit_chains FOR UPDATE');
    for (const one of send) {
      replies.push(one());
      await waiting(replies.length);
    }
  });
  return Promise.all(replies);
}

it('the list is rejected where the webhook was created first', async () => {
  const [created, listed] = await atTheSameTime([() => create('a'), () => encrypt('a')]);
  expect(created?.status).toBe(201);
  expect(placesOf(expectProblem(listed as Reply, 'invalid-body'))).toEqual(['/encrypted_keys/0']);
});

it('the list is rejected where the webhook was changed first', async () => {
  const { webhook_id: id } = (await create('b')).json<{ webhook_id: string }>();
  const [changed, listed] = await atTheSameTime([() => change(id, 'c'), () => encrypt('c')]);
  expect(changed?.status).toBe(200);
  expect(placesOf(expectProblem(listed as Reply, 'invalid-body'))).toEqual(['/encrypted_keys/0']);
});

it('the webhook is rejected where the list was changed first', async () => {
  const [listed, created] = await atTheSameTime([() => encrypt('d'), () => create('d')]);
  expect(listed?.status).toBe(200);
  expect(placesOf(expectProblem(created as Reply, 'invalid-body'))).toEqual(['/threshold/key']);
});

it('the change of the webhook is rejected where the list was changed first', async () => {
  const { webhook_id: id } = (await create('e')).json<{ webhook_id: string }>();
  const [listed, changed] = await atTheSameTime([() => encrypt('f'), () => change(id, 'f')]);
  expect(listed?.status).toBe(200);
  expect(placesOf(expectProblem(changed as Reply, 'invalid-body'))).toEqual(['/threshold/key']);
});

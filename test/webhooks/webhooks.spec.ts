import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { submitJob, waitFor, waitForJob } from '../jobs/jobs.js';
import { postBatch } from '../objects/wire.js';

interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

interface Delivery {
  delivery_id: string;
  due_at: string | null;
  event: string;
  status: string;
  attempts: number;
  response_status: number | null;
  error: string | null;
}

let api: TestApi;
let project: TestProject;
let admin: string;
let receiver: Server;
let url: string;
const received: Received[] = [];
/** Of the next requests; then 204. */
let statuses: number[] = [];

beforeAll(async () => {
  receiver = createServer((request, response) => {
    void text(request).then((body) => {
      received.push({ path: request.url ?? '', headers: request.headers, body });
      response.writeHead(statuses.shift() ?? 204, { Location: '/elsewhere' }).end();
    });
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  url = `http://127.0.0.1:${String((receiver.address() as AddressInfo).port)}/hook`;
  api = await TestApi.start({ WORKER: 'inline', WEBHOOK_ALLOWED_NETWORKS: '127.0.0.1' });
});
afterAll(async () => {
  receiver.close();
  await api.stop();
});

beforeEach(async () => {
  project = await api.project();
  ({ admin } = project.keys);
  received.length = 0;
  statuses = [];
});

async function create(body: object): Promise<{ webhook_id: string; secret: string }> {
  const reply = await api.call('POST', '/webhooks', { key: admin, body: { name: 'w', url, ...body } });
  expect([reply.status, reply.text]).toEqual([201, reply.text]);
  return reply.json<{ webhook_id: string; secret: string }>();
}

/** The bodies of the requests so far, once there are as many. */
async function bodies(count: number): Promise<{ type: string; data: Record<string, unknown> }[]> {
  await waitFor(() => Promise.resolve(received.length >= count ? true : undefined));
  return received.map(({ body }) => JSON.parse(body) as { type: string; data: Record<string, unknown> });
}

async function deliveries(id: string): Promise<Delivery[]> {
  const reply = await api.call('GET', `/webhooks/${id}/deliveries`, { key: admin });
  return reply.json<{ results: Delivery[] }>().results;
}

/** Adds a delivery of the event job.failed. */
async function addDelivery(id: string, deliveryId: string, status: string, attempts: number): Promise<void> {
  await api.db.sql(
    `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
     VALUES ($1, $2, $3, 'job.failed', '{}', $4, $5, now())`,
    [project.projectId, id, deliveryId, status, attempts],
  );
}

/** What was logged about deliveries of a webhook that were given up. */
const givenUp = async (id: string): Promise<object[]> =>
  (await api.logWith(`"webhook_id":"${id}"`)).filter(({ level }) => level === 40);

/** The attempts of the server by result, and the deliveries that it has given up. The metrics are rendered once a second. */
async function counted(): Promise<Record<'delivered' | 'rejected' | 'unreachable' | 'given', number>> {
  const { text: shown } = await api.call('GET', `${api.origin}/metrics`, { key: api.operatorKey });
  const valueOf = (name: string): number =>
    Number(new RegExp(`^stowage_webhook_${name} (\\d+)$`, 'm').exec(shown)?.[1] ?? 0);
  const attempts = (result: string): number => valueOf(`attempts_total{result="${result}"}`);
  const given = valueOf('deliveries_failed_total');
  return {
    delivered: attempts('delivered'),
    rejected: attempts('rejected'),
    unreachable: attempts('unreachable'),
    given,
  };
}

const change = (id: string, body: object, headers: Record<string, string> = {}): Promise<Reply> =>
  api.call('PATCH', `/webhooks/${id}`, { key: admin, body, headers });

const retry = (id: string, deliveryId: string): Promise<Reply> =>
  api.call('POST', `/webhooks/${id}/deliveries/${deliveryId}/retry`, { key: admin });

const retryAll = (id: string): Promise<Reply> => api.call('POST', `/webhooks/${id}/deliveries/retry`, { key: admin });

const sendTest = (id: string): Promise<Reply> => api.call('POST', `/webhooks/${id}/test`, { key: admin });

/** The first delivery when an attempt has ended. */
const attempted = (id: string): Promise<Delivery> =>
  waitFor(async () => {
    const [delivery] = await deliveries(id);
    return delivery !== undefined && (delivery.response_status !== null || delivery.error !== null)
      ? delivery
      : undefined;
  });

describe('a webhook', () => {
  it('gets signed events, which the library of Standard Webhooks verifies, and lists the result', async () => {
    const { webhook_id: id, secret } = await create({ events: ['job.failed'] });
    await sendTest(id);
    const [body] = await bodies(1);
    expect(body).toMatchObject({ type: 'webhook.test', data: { project_id: project.projectId, webhook: 'w' } });
    const [request] = received;
    const headers = request?.headers as Record<string, string>;
    expect(new Webhook(secret).verify(request?.body ?? '', headers)).toEqual(body);
    expect(() => new Webhook(secret).verify(`${request?.body ?? ''} `, headers)).toThrow();
    expect(await attempted(id)).toMatchObject({ status: 'delivered', attempts: 1, response_status: 204, error: null });
  });

  it('shows its secret only once', async () => {
    const { webhook_id: id, secret } = await create({ events: ['job.failed'] });
    for (const path of ['/webhooks', `/webhooks/${id}`]) {
      const { text: shown } = await api.call('GET', path, { key: admin });
      expect([shown.includes('"w"'), shown.includes(secret), shown.includes('secret')]).toEqual([true, false, false]);
    }
  });

  it('is told of stored batches, also of one by a job and of added objects, and not of those before it', async () => {
    await postBatch(api, project.keys.producer, 'before', [{ object_id: 'x', data: {} }]);
    await create({ events: ['batch.stored'] });
    await postBatch(api, project.keys.producer, 'a', [
      { object_id: 'a1', data: {} },
      { object_id: 'a2', data: {} },
    ]);
    const body = { batch_id: 'b', objects: [{ object_id: 'b1', data: {} }] };
    await waitForJob(api, admin, await submitJob(api, 'POST', '/batches', { key: project.keys.producer, body }));
    await api.call('POST', '/objects', { key: admin, body: { batch_id: 'b', object_id: 'single', data: {} } });
    const sent = await bodies(2);
    expect(sent.map(({ type, data }) => [type, data.batch_id, data.objects]).sort()).toEqual([
      ['batch.stored', 'a', 2],
      ['batch.stored', 'b', 1],
    ]);
  });

  it('is told of failed jobs and of the use of canary keys', async () => {
    await create({ events: ['job.failed', 'key.canary'] });
    const body = { batch_id: 'bad', objects: [{ object_id: '' }] };
    const job = await waitForJob(api, admin, await submitJob(api, 'POST', '/batches', { key: admin, body }));
    const [failed] = await bodies(1);
    expect(failed).toMatchObject({ type: 'job.failed', data: { job_id: job.id, status: 400 } });
    const path = `/projects/${String(project.projectId)}/keys`;
    const made = await api.call('POST', path, { key: admin, body: { name: 'bait', role: 'analyst', canary: true } });
    await api.call('GET', '/me', { key: made.json<{ key: string }>().key });
    const [, canary] = await bodies(2);
    expect(canary).toMatchObject({ type: 'key.canary', data: { key_name: 'bait', count: 1 } });
  });

  it('is told once of a bucket that reaches its threshold', async () => {
    const compare = { $gt: 8 };
    const { webhook_id: id } = await create({
      events: ['threshold.reached'],
      threshold: { op: 'avg', key: 't', bucket: '1d', compare },
    });
    // In one bucket, also at midnight.
    const observedAt = new Date().toISOString();
    await postBatch(api, project.keys.producer, 'day', [
      { object_id: 'c', observed_at: observedAt, data: { t: 7 } },
      { object_id: 'w', observed_at: observedAt, data: { t: 20 } },
    ]);
    // It looks at once, and not up to 30 seconds later as the first one.
    const second = await api.another({ WORKER: 'inline', WEBHOOK_ALLOWED_NETWORKS: '127.0.0.1' });
    const sent = await bodies(1).finally(() => second.stop());
    expect(sent).toMatchObject([{ type: 'threshold.reached', data: { op: 'avg', key: 't', compare, value: 13.5 } }]);
    const [row] = await api.db.sql<{ fired_bucket: string }>(
      'SELECT fired_bucket FROM webhooks WHERE webhook_id = $1',
      [id],
    );
    expect(Number(row?.fired_bucket) % 86_400).toBe(0);
  });

  it('gets no events of another project, and none while it is not enabled', async () => {
    const other = await api.project();
    const disabled = await create({ events: ['batch.stored'], is_enabled: false });
    const { webhook_id: id } = await create({ events: ['batch.stored'] });
    await postBatch(api, other.keys.producer, 'theirs', [{ object_id: 'o', data: {} }]);
    await postBatch(api, project.keys.producer, 'mine', [{ object_id: 'o', data: {} }]);
    const [sent] = await bodies(1);
    expect(sent?.data.batch_id).toBe('mine');
    await attempted(id);
    expect([await deliveries(disabled.webhook_id), received.length]).toEqual([[], 1]);
  });
});

describe('a delivery', () => {
  it.each([500, 404, 302])('is queued again after status %d, and a redirect is not followed', async (status) => {
    statuses = [status];
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    await sendTest(id);
    expect(await attempted(id)).toMatchObject({ status: 'queued', response_status: status });
    await api.db.sql(`UPDATE webhook_deliveries SET due_at = now() WHERE webhook_id = $1`, [id]);
    const [first, second] = await bodies(2).then(() => received);
    expect([first?.path, second?.path]).toEqual(['/hook', '/hook']);
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
    await waitFor(async () => ((await deliveries(id))[0]?.status === 'delivered' ? true : undefined));
  });

  it('has failed after its last attempt', async () => {
    statuses = [500];
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    const before = await counted();
    await addDelivery(id, '7', 'queued', 9);
    await waitFor(async () => ((await deliveries(id))[0]?.status === 'failed' ? true : undefined));
    expect(await deliveries(id)).toMatchObject([{ attempts: 10, response_status: 500 }]);
    const given = { project: project.projectId, webhook_id: id, delivery_id: '7', attempts: 10, status: 500 };
    const msg = 'a delivery of a webhook has finally failed';
    expect(await givenUp(id)).toMatchObject([{ level: 40, ...given, msg }]);
    await waitFor(async () => ((await counted()).given > before.given ? true : undefined));
  });

  it('is counted by the result of its attempt', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    const before = await counted();
    statuses = [204, 404];
    await addDelivery(id, '7', 'queued', 0);
    await waitFor(async () => ((await counted()).delivered > before.delivered ? true : undefined));
    await addDelivery(id, '8', 'queued', 0);
    await waitFor(async () => ((await counted()).rejected > before.rejected ? true : undefined));
    await change(id, { url: 'http://localhost/' });
    await addDelivery(id, '9', 'queued', 0);
    await waitFor(async () => ((await counted()).unreachable > before.unreachable ? true : undefined));
    expect(await givenUp(id)).toEqual([]);
  });

  it('is sent again with the same id when it is retried after it has failed, and this is in the audit log', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    await addDelivery(id, '7', 'failed', 10);
    await addDelivery(id, '8', 'delivered', 1);
    expect((await retry(id, '7')).json()).toMatchObject({ delivery_id: '7', status: 'queued', attempts: 0 });
    await bodies(1);
    expect(received[0]?.headers['webhook-id']).toBe('msg_7');
    await waitFor(async () =>
      (await deliveries(id)).every(({ status }) => status === 'delivered') ? true : undefined,
    );
    for (const one of ['7', '8']) expectProblem(await retry(id, one), 'delivery-not-failed');
    for (const one of ['9', 'nothing']) expectProblem(await retry(id, one), 'not-found');
    const audit = await api.call('GET', '/audit?action=webhook.retry', { key: admin });
    expect(audit.json()).toMatchObject({
      results: [{ target: { type: 'webhook', id }, details: { delivery_id: '7', event: 'job.failed' } }],
    });
  });

  it('is not retried while 1,000 others wait', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'], is_enabled: false });
    await api.db.sql(
      `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
       SELECT $1, $2, n, 'job.failed', '{}', 'queued', 1, 'infinity' FROM generate_series(1, 1000) AS n`,
      [project.projectId, id],
    );
    await addDelivery(id, '2000', 'failed', 10);
    expectProblem(await retry(id, '2000'), 'conflict');
    expect((await deliveries(id))[0]).toMatchObject({ delivery_id: '2000', status: 'failed', attempts: 10 });
  });

  it('is retried with all others that have failed, the oldest first, as many as may wait', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'], is_enabled: false });
    const { webhook_id: other } = await create({ events: ['job.failed'], is_enabled: false });
    await api.db.sql(
      `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
       SELECT $1, $2, n, 'job.failed', '{}', 'queued', 1, 'infinity' FROM generate_series(1, 998) AS n`,
      [project.projectId, id],
    );
    for (const one of ['2003', '2001', '2002']) await addDelivery(id, one, 'failed', 10);
    await addDelivery(id, '2000', 'delivered', 1);
    await addDelivery(other, '7', 'failed', 10);
    expect(await retryAll(id)).toMatchObject({ status: 202, text: '{"retried":2,"has_more":true}' });
    expect(await deliveries(id)).toMatchObject([
      { delivery_id: '2003', status: 'failed', attempts: 10 },
      { delivery_id: '2002', status: 'queued', attempts: 0, due_at: null },
      { delivery_id: '2001', status: 'queued', attempts: 0, due_at: null },
      { delivery_id: '2000', status: 'delivered' },
      ...Array.from({ length: 6 }, (_, index) => ({ delivery_id: String(998 - index) })),
    ]);
    expectProblem(await retryAll(id), 'conflict');
    await api.db.sql(`UPDATE webhook_deliveries SET status = 'delivered' WHERE webhook_id = $1 AND delivery_id < 10`, [
      id,
    ]);
    expect(await retryAll(id)).toMatchObject({ status: 202, text: '{"retried":1,"has_more":false}' });
    expect(await retryAll(id)).toMatchObject({ status: 202, text: '{"retried":0,"has_more":false}' });
    expect(await deliveries(other)).toMatchObject([{ status: 'failed' }]);
    expectProblem(await retryAll('nothing'), 'not-found');
    const audit = await api.call('GET', '/audit?action=webhook.retry', { key: admin });
    expect(audit.json<{ results: object[] }>().results.map((entry) => ({ ...entry }))).toMatchObject([
      { target: { type: 'webhook', id }, details: { deliveries: 1 } },
      { target: { type: 'webhook', id }, details: { deliveries: 2 } },
    ]);
  });

  it('waits while its webhook is not enabled, and is sent when it is enabled again', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    const { webhook_id: other } = await create({ url: `${url}/other`, events: ['job.failed'] });
    statuses = [500];
    await addDelivery(id, String(2n ** 62n), 'queued', 0);
    expect(await attempted(id)).toMatchObject({ status: 'queued', due_at: expect.any(String) });
    await change(id, { is_enabled: false });
    expect(await deliveries(id)).toMatchObject([{ status: 'queued', due_at: null }]);
    // Even if it were due: as one is that was being sent when the webhook was disabled.
    await api.db.sql(`UPDATE webhook_deliveries SET due_at = '2024-01-01' WHERE webhook_id = $1`, [id]);
    await sendTest(other);
    await bodies(2);
    expect(received.map(({ path }) => path)).toEqual(['/hook', '/hook/other']);
    await change(id, { is_enabled: true });
    await bodies(3);
    expect(received.map(({ path }) => path)).toEqual(['/hook', '/hook/other', '/hook']);
  });

  it('that was held for more than three days has failed, and can be retried', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    await change(id, { is_enabled: false });
    await addDelivery(id, '7', 'failed', 10);
    expect((await retry(id, '7')).json()).toMatchObject({ status: 'queued', due_at: null });
    await change(id, { is_enabled: true });
    const error = 'not sent within 3 days, because the webhook was not enabled';
    expect(await deliveries(id)).toMatchObject([{ status: 'failed', attempts: 0, error }]);
    expect(await givenUp(id)).toMatchObject([{ level: 40, project: project.projectId, deliveries: 1 }]);
    await retry(id, '7');
    await bodies(1);
  });

  it('has the result of its attempt also where no request can be made', async () => {
    const { webhook_id: id, secret } = await create({ events: ['job.failed'] });
    const { webhook_id: other } = await create({ events: ['job.failed'] });
    const stored = await api.db.sql<{ secret: string }>('SELECT secret FROM webhooks WHERE webhook_id = $1', [other]);
    expect(stored).toEqual([{ secret: expect.stringMatching(/^sealed:/) }]);
    expect(JSON.stringify(stored)).not.toContain(secret.slice(6, 20));
    await api.db.sql('UPDATE webhooks SET secret = $2 WHERE webhook_id = $1', [id, stored[0]?.secret]);
    await sendTest(id);
    const error = 'the secret of the webhook cannot be decrypted: it is damaged, or that of another webhook';
    expect(await attempted(id)).toMatchObject({ status: 'queued', attempts: 1, error });
  });

  it('is listed by its status', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'], is_enabled: false });
    await addDelivery(id, '7', 'failed', 10);
    await addDelivery(id, '8', 'delivered', 1);
    const list = (status: string): Promise<Reply> =>
      api.call('GET', `/webhooks/${id}/deliveries?status=${status}`, { key: admin });
    expect((await list('failed')).json()).toMatchObject({ count: 1, results: [{ delivery_id: '7' }] });
    expect((await list('delivered')).json()).toMatchObject({ count: 1, results: [{ delivery_id: '8' }] });
    expect(placesOf(expectProblem(await list('lost'), 'invalid-query'))).toEqual(['status']);
  });

  it.each([
    ['http://127.0.0.2:1/', /^the address 127\.0\.0\.2 is in a network that WEBHOOK_ALLOWED_NETWORKS does not allow$/],
    ['http://receiver.invalid/', /^(the name receiver\.invalid has no address|.* the name receiver\.invalid .*)$/],
  ])('to %s, stored when it was allowed, has an error that says why it is not sent', async (nowhere, reason) => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    await api.db.sql('UPDATE webhooks SET url = $2 WHERE webhook_id = $1', [id, nowhere]);
    await sendTest(id);
    expect(await attempted(id)).toMatchObject({ response_status: null, error: expect.stringMatching(reason) });
  });
});

describe('the routes of webhooks', () => {
  it.each([
    ...[
      'http://127.0.0.2/',
      'http://10.0.0.1/',
      'http://[::1]/',
      'http://169.254.169.254/latest',
      'http://2130706434/',
    ],
    ...['http://0177.0.0.2/', 'http://[::ffff:10.0.0.1]/', 'http://192.168.0.1:80/hook'],
  ])('reject the address %s inside the network, and name the setting', async (inside) => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    const body = { name: 'w', url: inside, events: ['job.failed'] };
    for (const reply of [
      await api.call('POST', '/webhooks', { key: admin, body }),
      await change(id, { url: inside }),
    ]) {
      const { errors } = expectProblem(reply, 'invalid-body');
      const detail = expect.stringMatching(/ is in a network that WEBHOOK_ALLOWED_NETWORKS does not allow$/);
      expect(errors).toEqual([{ pointer: '/url', detail }]);
    }
    expect((await change(id, { url: 'http://localhost/' })).status).toBe(200);
  });

  it('accept a URL of 2,000 characters beyond U+FFFF, and not of more', async () => {
    const start = 'http://hooks.example.com/';
    const body = { name: 'w', url: start + '😀'.repeat(2_000 - start.length), events: ['job.failed'] };
    const created = await api.call('POST', '/webhooks', { key: admin, body });
    expect([created.status, created.json<{ url: string }>().url]).toEqual([201, body.url]);
    const longer = await change(created.json<{ webhook_id: string }>().webhook_id, { url: `${body.url}😀` });
    expect(placesOf(expectProblem(longer, 'invalid-body'))).toEqual(['/url']);
  });

  it('change the name of a webhook whose address is not allowed any more', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    await api.db.sql(`UPDATE webhooks SET url = 'http://127.0.0.2/' WHERE webhook_id = $1`, [id]);
    expect((await change(id, { name: 'renamed' })).json()).toMatchObject({ name: 'renamed' });
  });

  it.each([
    [{ url: 'ftp://a.example' }, '/url'],
    [{ url: 'https://a.example:0/' }, '/url'],
    [{ url: 'https://a.example/a b' }, '/url'],
    [{ url: 'https://user:secret@a.example/' }, '/url'],
    [{ events: [] }, '/events'],
    [{ events: ['batch.stored', 'batch.stored'] }, '/events'],
    [{ events: ['nothing'] }, '/events'],
    [{ events: ['threshold.reached'] }, '/threshold'],
    [{ threshold: { op: 'count', bucket: '1h', compare: { $gt: 1 } } }, '/threshold'],
    [{ events: ['threshold.reached'], threshold: { op: 'avg', bucket: '1h', compare: { $gt: 1 } } }, '/threshold/key'],
    [
      { events: ['threshold.reached'], threshold: { op: 'count', bucket: '7m', compare: { $gt: 1 } } },
      '/threshold/bucket',
    ],
    [
      { events: ['threshold.reached'], threshold: { op: 'count', bucket: '1h', compare: { $gt: 1, $lt: 2 } } },
      '/threshold/compare',
    ],
    [{ events: ['threshold.reached'], threshold: 'high' }, '/threshold'],
    [{ is_enabled: 'yes' }, '/is_enabled'],
  ])('reject %j at %s', async (part, place) => {
    const body = { name: 'w', url, events: ['job.failed'], ...part };
    const reply = await api.call('POST', '/webhooks', { key: admin, body });
    expect(placesOf(expectProblem(reply, 'invalid-body'))).toEqual([place]);
  });

  it('change and delete a webhook, and record it in the audit log', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    const body = { name: 'renamed', events: ['batch.stored'] };
    const changed = await change(id, body, { 'Content-Type': 'application/merge-patch+json' });
    expect(changed.json()).toMatchObject({ webhook_id: id, ...body, url, is_enabled: true });
    expect((await api.call('DELETE', `/webhooks/${id}`, { key: admin })).status).toBe(204);
    expectProblem(await api.call('GET', `/webhooks/${id}`, { key: admin }), 'not-found');
    const audit = await api.call('GET', '/audit', { key: admin });
    const actions = audit.json<{ results: { action: string }[] }>().results.map(({ action }) => action);
    expect(actions.slice(0, 3)).toEqual(['webhook.delete', 'webhook.update', 'webhook.create']);
  });

  it('replace a threshold as a whole, and remove it with its event', async () => {
    const events = ['threshold.reached'];
    const threshold = { op: 'avg', key: 't', bucket: '1h', compare: { $gt: 1 } };
    const { webhook_id: id } = await create({ events, threshold });
    const other = { op: 'count', bucket: '1h', compare: { $lt: 2 } };
    expect((await change(id, { threshold: other })).json<{ threshold: object }>().threshold).toEqual(other);
    expect((await change(id, { name: 'renamed' })).json<{ threshold: object }>().threshold).toEqual(other);
    expect(placesOf(expectProblem(await change(id, { threshold: null }), 'invalid-body'))).toEqual(['/threshold']);
    const without = await change(id, { events: ['job.failed'], threshold: null });
    expect(without.json()).toMatchObject({ events: ['job.failed'], threshold: null });
  });

  it('follow no changes for a change that is rejected', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    expectProblem(await change(id, { events: ['batch.stored', 'threshold.reached'] }), 'invalid-body');
    const feeds = (): Promise<unknown[]> =>
      api.db.sql('SELECT project_id FROM change_feeds WHERE project_id = $1', [project.projectId]);
    expect(await feeds()).toEqual([]);
    await change(id, { events: ['batch.stored'] });
    expect(await feeds()).toHaveLength(1);
  });

  it('keep the place up to which batches were sent when something else is changed', async () => {
    const { webhook_id: id } = await create({ events: ['batch.stored'] });
    await api.db.sql('UPDATE webhooks SET is_enabled = false, change_position = 5 WHERE webhook_id = $1', [id]);
    await change(id, { name: 'renamed', is_enabled: true });
    const [row] = await api.db.sql(`SELECT change_position FROM webhooks WHERE webhook_id = $1`, [id]);
    expect(row).toEqual({ change_position: '5' });
  });

  it('reject a change and a deletion with the ETag of another state', async () => {
    const { webhook_id: id } = await create({ events: ['job.failed'] });
    const etag = (await api.call('GET', `/webhooks/${id}`, { key: admin })).headers.get('etag') ?? '';
    const changed = await change(id, { name: 'renamed' }, { 'If-Match': etag });
    expect(changed.status).toBe(200);
    const ofBefore = { 'If-Match': etag };
    expectProblem(await change(id, { name: 'again' }, ofBefore), 'precondition-failed');
    const remove = (headers: Record<string, string>): Promise<Reply> =>
      api.call('DELETE', `/webhooks/${id}`, { key: admin, headers });
    expectProblem(await remove(ofBefore), 'precondition-failed');
    expect((await remove({ 'If-Match': changed.headers.get('etag') ?? '' })).status).toBe(204);
  });

  it('allow 20 webhooks in a project', async () => {
    for (let count = 0; count < 20; count++) await create({ events: ['job.failed'] });
    const body = { name: 'w', url, events: ['job.failed'] };
    expectProblem(await api.call('POST', '/webhooks', { key: admin, body }), 'conflict');
  });

  it('keep at most 1,000 deliveries of a webhook waiting', async () => {
    const { webhook_id: id } = await create({ url: 'http://receiver.invalid/', events: ['job.failed'] });
    await api.db.sql(
      `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
       SELECT $1, $2, n, 'job.failed', '{}', 'queued', 1, now() + interval '1 day' FROM generate_series(1, 1000) AS n`,
      [project.projectId, id],
    );
    const body = { batch_id: 'bad', objects: [{ object_id: '' }] };
    await waitForJob(api, admin, await submitJob(api, 'POST', '/batches', { key: admin, body }));
    const count = async (): Promise<unknown> =>
      (await api.db.sql(`SELECT count(*)::int AS count FROM webhook_deliveries WHERE webhook_id = $1`, [id]))[0];
    expect(await count()).toEqual({ count: 1_000 });
    const metrics = await api.call('GET', `${api.origin}/metrics`, { key: api.operatorKey });
    expect(metrics.text).toMatch(/^stowage_webhook_events_dropped_total [1-9]/m);
    // A test shows why nothing arrives, and its delivery exists.
    const { delivery_id: testId } = (await sendTest(id)).json<{ delivery_id: string }>();
    expect((await deliveries(id))[0]).toMatchObject({ delivery_id: testId, event: 'webhook.test' });
    await api.db.sql(
      `INSERT INTO webhook_deliveries (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at)
       SELECT $1, $2, n, 'webhook.test', '{}', 'queued', 1, now() + interval '1 day' FROM generate_series(1001, 1099) AS n`,
      [project.projectId, id],
    );
    expectProblem(await sendTest(id), 'conflict');
    expect(await count()).toEqual({ count: 1_100 });
  });
});

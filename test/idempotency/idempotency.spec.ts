import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openApiOf, operationsOf } from '../documents/open-api.js';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type CallOptions, type Reply, type TestProject } from '../harness/api.js';
import { CONTRACT, fill, type ContractRoute } from '../routes/route-table.js';

let api: TestApi;
let project: TestProject;
let keyCount = 0;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterAll(() => api.stop());

const posts = Object.entries(CONTRACT)
  .filter(([name, { isRead }]) => name.startsWith('POST ') && isRead !== true)
  .map(([name, route]): [string, ContractRoute] => [name.replace('POST ', ''), route]);

function keyFor({ roles: [role = 'admin'] }: ContractRoute, of = project): string {
  return role === 'operator' ? api.operatorKey : of.keys[role];
}

/** Returns a new idempotency key. */
function newKey(): string {
  return `use-${String(++keyCount)}`;
}

function post(path: string, text: string, options: CallOptions): Promise<Reply> {
  return api.call('POST', path, { ...options, headers: { 'Idempotency-Key': text, ...options.headers } });
}

function isReplayed({ headers }: Reply): boolean {
  return headers.get('idempotency-replayed') === 'true';
}

/** The parts of a response that a replay repeats. */
function replayedParts({ status, text, headers }: Reply): unknown[] {
  return [status, text, ...['content-type', 'location', 'etag'].map((name) => headers.get(name))];
}

function keysPath({ projectId } = project): string {
  return `/projects/${String(projectId)}/keys`;
}

/** Counts the API keys with a name. */
async function countKeys(name: string): Promise<number> {
  const rows = await api.db.sql('SELECT FROM api_keys WHERE name = $1', [name]);
  return rows.length;
}

describe('every POST route', () => {
  it.each(posts)('%s replays the first response', async (path, route) => {
    const mine = await api.project();
    const setUp = { key: mine.keys.admin, body: { batch_id: 'new', objects: [] } };
    if (path === '/objects') await api.call('POST', '/batches', setUp);
    const options = { key: keyFor(route, mine), ...(route.body === undefined ? {} : { body: route.body }) };
    const address = fill(path, { project_id: mine.projectId });
    const text = newKey();
    const first = await post(address, text, options);
    const second = await post(`${address}/`, text, options);
    expect(first.status).toBeLessThan(500);
    expect([isReplayed(first), isReplayed(second)]).toEqual([false, true]);
    expect(replayedParts(second)).toEqual(replayedParts(first));
    expect(second.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'));
  });

  it.each(posts.filter(([, { body }]) => body !== undefined))(
    '%s rejects another body with the same key, even an invalid one',
    async (path, route) => {
      const address = fill(path, { project_id: project.projectId });
      const text = newKey();
      const options = { key: keyFor(route), body: { of: 'no shape' } };
      await post(address, text, options);
      const reply = await post(address, text, { ...options, body: { of: 'another shape' } });
      const { errors } = expectProblem(reply, 'idempotency-key-reused');
      expect(errors).toEqual([{ header: 'Idempotency-Key', detail: expect.any(String) }]);
    },
  );

  it.each(posts)('%s rejects an invalid Idempotency-Key', async (path, route) => {
    for (const text of ['', 'x'.repeat(256), 'a b', '"a', 'a, b']) {
      const reply = await post(fill(path), text, { key: keyFor(route) });
      const { errors } = expectProblem(reply, 'invalid-header');
      expect(errors).toEqual([{ header: 'Idempotency-Key', detail: expect.any(String) }]);
    }
  });
});

it('the OpenAPI document lists Idempotency-Key for every POST that writes, and for no other route', async () => {
  const operations = operationsOf(await openApiOf(api));
  const withHeader = operations.filter(([, { parameters = [] }]) =>
    parameters.some(({ name }) => name === 'Idempotency-Key'),
  );
  expect(withHeader.map(([name]) => name).sort()).toEqual(posts.map(([path]) => `POST /api/v1${path}`).sort());
});

describe('POST /batches', () => {
  const body = (batch_id: string): object => ({ batch_id, objects: [{ object_id: `${batch_id}-1`, data: [] }] });

  async function deleteBatch(batchId: string): Promise<void> {
    const reply = await api.call('DELETE', `/batches/${batchId}?cascade=true`, { key: project.keys.admin });
    expect(reply.status).toBe(204);
  }

  it('stores a deleted batch again without the header', async () => {
    const options = { key: project.keys.producer, body: body('plain') };
    expect((await api.call('POST', '/batches', options)).status).toBe(201);
    expect((await api.call('POST', '/batches', options)).status).toBe(409);
    await deleteBatch('plain');
    expect((await api.call('POST', '/batches', options)).status).toBe(201);
    expect((await api.call('GET', '/batches/plain', { key: project.keys.analyst })).status).toBe(200);
  });

  it('replays the response with the header, and does not store a deleted batch again', async () => {
    const options = { key: project.keys.producer, body: body('keyed') };
    const text = newKey();
    const first = await post('/batches', text, options);
    expect([first.status, replayedParts(await post('/batches', text, options))]).toEqual([201, replayedParts(first)]);
    await deleteBatch('keyed');
    expect(replayedParts(await post('/batches', text, options))).toEqual(replayedParts(first));
    expect((await api.call('GET', '/batches/keyed', { key: project.keys.analyst })).status).toBe(404);
  });

  it('replays a 4xx response, even if the request would be valid now', async () => {
    const options = { key: project.keys.producer, body: { batch_id: 'late', object_id: 'late', data: [] } };
    const text = newKey();
    const first = await post('/objects', text, options);
    expectProblem(first, 'invalid-body');
    await api.call('POST', '/batches', { key: project.keys.producer, body: { batch_id: 'late', objects: [] } });
    const second = await post('/objects', text, options);
    expect([isReplayed(second), replayedParts(second)]).toEqual([true, replayedParts(first)]);
    expect((await post('/objects', newKey(), options)).status).toBe(201);
  });
});

describe('Idempotency-Key with Prefer', () => {
  it('returns the same job for respond-async, which runs once', async () => {
    const text = newKey();
    const options = {
      key: project.keys.producer,
      body: { batch_id: 'job', objects: [] },
      headers: { Prefer: 'respond-async' },
    };
    await api.db.sql('DELETE FROM jobs');
    const first = await post('/batches', text, options);
    expect([first.status, first.headers.get('preference-applied')]).toEqual([202, 'respond-async']);
    const second = await post('/batches', text, options);
    expect([isReplayed(second), replayedParts(second)]).toEqual([true, replayedParts(first)]);
    expect(second.headers.get('preference-applied')).toBe('respond-async');
    expect(await api.db.sql('SELECT FROM jobs')).toHaveLength(1);
    expectProblem(await post('/batches', text, { ...options, headers: {} }), 'idempotency-key-reused');
  });

  it('ignores return=representation, and replays the short response', async () => {
    const text = newKey();
    const options = {
      key: project.keys.producer,
      body: { batch_id: 'whole', objects: [{ object_id: 'whole-1', data: [] }] },
      headers: { Prefer: 'return=representation' },
    };
    const first = await post('/batches', text, options);
    expect([first.status, first.headers.get('preference-applied')]).toEqual([201, null]);
    expect(first.json()).toMatchObject({ batch_id: 'whole', object_count: 1 });
    expect(replayedParts(await post('/batches', text, options))).toEqual(replayedParts(first));
  });
});

describe('an Idempotency-Key', () => {
  it('is scoped to the API key, the project and the path', async () => {
    const text = newKey();
    const body = { name: text, role: 'analyst' };
    const other = await api.project();
    const replies = [
      await post(keysPath(), text, { key: project.keys.admin, body }),
      await post(keysPath(), text, { key: api.operatorKey, body }),
      await post(keysPath(other), text, { key: api.operatorKey, body }),
      await post(keysPath(other), text, { key: other.keys.admin, body }),
      await post('/projects', text, { key: api.operatorKey, body: { name: text } }),
    ];
    expect(replies.map((reply) => [reply.status, isReplayed(reply)])).toEqual(replies.map(() => [201, false]));
    expect(new Set(replies.map((reply) => reply.text)).size).toBe(replies.length);
    expect(await countKeys(text)).toBe(4);
  });

  it('reveals no response without permission to send the request', async () => {
    const text = newKey();
    const options = { key: project.keys.admin, body: { name: text, role: 'analyst' } };
    await post(keysPath(), text, options);
    expectProblem(await post(keysPath(), text, { ...options, key: project.keys.analyst }), 'forbidden');
    expectProblem(await post(keysPath(), text, { ...options, key: undefined }), 'unauthenticated');
  });

  it('is ignored for methods other than POST and for unknown routes', async () => {
    const headers = { 'Idempotency-Key': 'not one' };
    expect((await api.call('GET', '/batches', { key: project.keys.analyst, headers })).status).toBe(200);
    expect((await api.call('GET', '/', { headers })).status).toBe(200);
    expectProblem(await api.call('POST', '/limits', { headers }), 'method-not-allowed');
    expectProblem(await api.call('POST', '/nothing', { headers }), 'not-found');
  });

  it('is not used up by a request that is rejected before its body is read', async () => {
    const text = newKey();
    const options = { key: project.keys.admin, body: { name: text, role: 'analyst' } };
    expectProblem(await post(`${keysPath()}?nonsense=1`, text, options), 'invalid-query');
    expect((await post(keysPath(), text, options)).status).toBe(201);
  });
});

describe('POST /projects/{project_id}/keys', () => {
  it('replays the new API key, and stores neither it nor the Idempotency-Key as plain text', async () => {
    const text = `${newKey()}-never-stored`;
    const options = { key: project.keys.admin, body: { name: 'sealed', role: 'analyst' } };
    const first = await post(keysPath(), text, options);
    const { key } = first.json<{ key: string }>();
    expect((await post(keysPath(), text, options)).json()).toMatchObject({ key });
    expect((await api.call('GET', '/batches', { key })).status).toBe(200);
    const [{ rows }] = (await api.db.sql<{ rows: string }>(
      `SELECT string_agg(k::text, ' ') AS rows FROM idempotency_keys AS k`,
    )) as [{ rows: string }];
    expect(rows.length).toBeGreaterThan(100);
    for (const secret of [key, text, first.text.slice(1, 20)]) {
      expect(rows).not.toContain(secret);
      expect(rows).not.toContain(Buffer.from(secret).toString('hex'));
    }
  });

  it('creates one API key for 20 concurrent requests', async () => {
    const text = newKey();
    const options = { key: project.keys.admin, body: { name: text, role: 'analyst' } };
    const replies = await Promise.all(Array.from({ length: 20 }, () => post(keysPath(), text, options)));
    const created = replies.filter(({ status }) => status === 201);
    for (const reply of replies.filter(({ status }) => status !== 201)) {
      expectProblem(reply, 'idempotency-in-progress');
      expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expect(created.filter((reply) => !isReplayed(reply))).toHaveLength(1);
    expect(new Set(created.map((reply) => reply.text)).size).toBe(1);
    expect(await countKeys(text)).toBe(1);
    expect(replayedParts(await post(keysPath(), text, options))).toEqual(replayedParts(created[0] as Reply));
  });

  it('replays the new API key to a client that disconnected before the response', async () => {
    const text = newKey();
    const body = JSON.stringify({ name: text, role: 'analyst' });
    const socket = connect({ port: Number(new URL(api.origin).port), host: '127.0.0.1' });
    socket.end(
      `POST /api/v1${keysPath()} HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${project.keys.admin}\r\nIdempotency-Key: ${text}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`,
      () => socket.destroy(),
    );
    while ((await countKeys(text)) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    let reply: Reply;
    do reply = await post(keysPath(), text, { key: project.keys.admin, body });
    while (reply.status === 409);
    expect([reply.status, isReplayed(reply), await countKeys(text)]).toEqual([201, true, 1]);
  });
});

import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openApiOf, operationsOf } from '../documents/open-api.js';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type CallOptions, type Reply, type TestProject } from '../harness/api.js';
import { CONTRACT, fill, type ContractRoute } from '../routes/route-table.js';

let api: TestApi;
let project: TestProject;
let uses = 0;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterAll(() => api.stop());

const posts = Object.entries(CONTRACT)
  .filter(([name]) => name.startsWith('POST '))
  .map(([name, route]): [string, ContractRoute] => [name.replace('POST ', ''), route]);

function keyFor({ roles: [role = 'admin'] }: ContractRoute, of = project): string {
  return role === 'operator' ? api.operatorKey : of.keys[role];
}

/** A text that no other test sends. */
function newText(): string {
  return `use-${String(++uses)}`;
}

function post(path: string, text: string, options: CallOptions): Promise<Reply> {
  return api.call('POST', path, { ...options, headers: { 'Idempotency-Key': text, ...options.headers } });
}

function isReplayed({ headers }: Reply): boolean {
  return headers.get('idempotency-replayed') === 'true';
}

/** What is the same in an answer that is given again. */
function essence({ status, text, headers }: Reply): unknown[] {
  return [status, text, ...['content-type', 'location', 'etag'].map((name) => headers.get(name))];
}

function keysPath({ projectId } = project): string {
  return `/projects/${String(projectId)}/keys`;
}

/** The names of the keys that a project has got in this test. */
async function keysNamed(name: string): Promise<number> {
  const rows = await api.db.sql('SELECT FROM api_keys WHERE name = $1', [name]);
  return rows.length;
}

describe('on every POST', () => {
  it.each(posts)('%s: the first answer is given again', async (path, route) => {
    const mine = await api.project();
    const setUp = { key: mine.keys.admin, body: { batch_id: 'new', objects: [] } };
    if (path === '/objects') await api.call('POST', '/batches', setUp);
    const options = { key: keyFor(route, mine), ...(route.body === undefined ? {} : { body: route.body }) };
    const address = fill(path, { project_id: mine.projectId });
    const text = newText();
    const first = await post(address, text, options);
    const second = await post(`${address}/`, text, options);
    expect(first.status).toBeLessThan(500);
    expect([isReplayed(first), isReplayed(second)]).toEqual([false, true]);
    expect(essence(second)).toEqual(essence(first));
    expect(second.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'));
  });

  it.each(posts.filter(([, { body }]) => body !== undefined))(
    '%s: another body is refused, whatever is wrong with it',
    async (path, route) => {
      const address = fill(path, { project_id: project.projectId });
      const text = newText();
      const options = { key: keyFor(route), body: { of: 'no shape' } };
      await post(address, text, options);
      const reply = await post(address, text, { ...options, body: { of: 'another shape' } });
      const { errors } = expectProblem(reply, 'idempotency-key-reused');
      expect(errors).toEqual([{ header: 'Idempotency-Key', detail: expect.any(String) }]);
    },
  );

  it.each(posts)('%s: a header that is none is refused', async (path, route) => {
    for (const text of ['', 'x'.repeat(256), 'a b', '"a', 'a, b']) {
      const reply = await post(fill(path), text, { key: keyFor(route) });
      const { errors } = expectProblem(reply, 'invalid-header');
      expect(errors).toEqual([{ header: 'Idempotency-Key', detail: expect.any(String) }]);
    }
  });
});

it('every POST, and nothing else, is documented to take the header', async () => {
  const operations = operationsOf(await openApiOf(api));
  const taking = operations.filter(([, { parameters = [] }]) =>
    parameters.some(({ name }) => name === 'Idempotency-Key'),
  );
  expect(taking.map(([name]) => name).sort()).toEqual(posts.map(([path]) => `POST /api/v1${path}`).sort());
});

describe('a batch', () => {
  const body = (batch_id: string): object => ({ batch_id, objects: [{ object_id: `${batch_id}-1`, data: [] }] });

  async function deleteBatch(batchId: string): Promise<void> {
    const reply = await api.call('DELETE', `/batches/${batchId}?cascade=true`, { key: project.keys.admin });
    expect(reply.status).toBe(204);
  }

  it('that was deleted and is posted again without the header is stored again', async () => {
    const options = { key: project.keys.producer, body: body('plain') };
    expect((await api.call('POST', '/batches', options)).status).toBe(201);
    expect((await api.call('POST', '/batches', options)).status).toBe(409);
    await deleteBatch('plain');
    expect((await api.call('POST', '/batches', options)).status).toBe(201);
    expect((await api.call('GET', '/batches/plain', { key: project.keys.analyst })).status).toBe(200);
  });

  it('with the header is only answered again', async () => {
    const options = { key: project.keys.producer, body: body('keyed') };
    const text = newText();
    const first = await post('/batches', text, options);
    expect([first.status, essence(await post('/batches', text, options))]).toEqual([201, essence(first)]);
    await deleteBatch('keyed');
    expect(essence(await post('/batches', text, options))).toEqual(essence(first));
    expect((await api.call('GET', '/batches/keyed', { key: project.keys.analyst })).status).toBe(404);
  });

  it('that was refused is refused again, although it would be taken now', async () => {
    const options = { key: project.keys.producer, body: { batch_id: 'late', object_id: 'late', data: [] } };
    const text = newText();
    const first = await post('/objects', text, options);
    expectProblem(first, 'invalid-body');
    await api.call('POST', '/batches', { key: project.keys.producer, body: { batch_id: 'late', objects: [] } });
    const second = await post('/objects', text, options);
    expect([isReplayed(second), essence(second)]).toEqual([true, essence(first)]);
    expect((await post('/objects', newText(), options)).status).toBe(201);
  });
});

describe('a preference', () => {
  it('for an answer later gives the same job again, which runs once', async () => {
    const text = newText();
    const options = {
      key: project.keys.producer,
      body: { batch_id: 'job', objects: [] },
      headers: { Prefer: 'respond-async' },
    };
    await api.db.sql('DELETE FROM jobs');
    const first = await post('/batches', text, options);
    expect([first.status, first.headers.get('preference-applied')]).toEqual([202, 'respond-async']);
    const second = await post('/batches', text, options);
    expect([isReplayed(second), essence(second)]).toEqual([true, essence(first)]);
    expect(second.headers.get('preference-applied')).toBe('respond-async');
    expect(await api.db.sql('SELECT FROM jobs')).toHaveLength(1);
    expectProblem(await post('/batches', text, { ...options, headers: {} }), 'idempotency-key-reused');
  });

  it('for the whole batch is passed over: the short answer is kept', async () => {
    const text = newText();
    const options = {
      key: project.keys.producer,
      body: { batch_id: 'whole', objects: [{ object_id: 'whole-1', data: [] }] },
      headers: { Prefer: 'return=representation' },
    };
    const first = await post('/batches', text, options);
    expect([first.status, first.headers.get('preference-applied')]).toEqual([201, null]);
    expect(first.json()).toMatchObject({ batch_id: 'whole', object_count: 1 });
    expect(essence(await post('/batches', text, options))).toEqual(essence(first));
  });
});

describe('an Idempotency-Key', () => {
  it('of another API key, project or address is another one', async () => {
    const text = newText();
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
    expect(await keysNamed(text)).toBe(4);
  });

  it('tells nothing to those who may not send the request', async () => {
    const text = newText();
    const options = { key: project.keys.admin, body: { name: text, role: 'analyst' } };
    await post(keysPath(), text, options);
    expectProblem(await post(keysPath(), text, { ...options, key: project.keys.analyst }), 'forbidden');
    expectProblem(await post(keysPath(), text, { ...options, key: undefined }), 'unauthenticated');
  });

  it('is not looked at where it has no meaning', async () => {
    const headers = { 'Idempotency-Key': 'not one' };
    expect((await api.call('GET', '/batches', { key: project.keys.analyst, headers })).status).toBe(200);
    expect((await api.call('GET', '/', { headers })).status).toBe(200);
    expectProblem(await api.call('POST', '/limits', { headers }), 'method-not-allowed');
    expectProblem(await api.call('POST', '/nothing', { headers }), 'not-found');
  });

  it('does not count where the request was refused before its body was read', async () => {
    const text = newText();
    const options = { key: project.keys.admin, body: { name: text, role: 'analyst' } };
    expectProblem(await post(`${keysPath()}?nonsense=1`, text, options), 'invalid-query');
    expect((await post(keysPath(), text, options)).status).toBe(201);
  });
});

describe('a new key', () => {
  it('is told again, and neither it nor the Idempotency-Key is in the database', async () => {
    const text = `${newText()}-never-stored`;
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

  it('is made once, also by 20 requests at once', async () => {
    const text = newText();
    const options = { key: project.keys.admin, body: { name: text, role: 'analyst' } };
    const replies = await Promise.all(Array.from({ length: 20 }, () => post(keysPath(), text, options)));
    const made = replies.filter(({ status }) => status === 201);
    for (const reply of replies.filter(({ status }) => status !== 201)) {
      expectProblem(reply, 'idempotency-in-progress');
      expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expect(made.filter((reply) => !isReplayed(reply))).toHaveLength(1);
    expect(new Set(made.map((reply) => reply.text)).size).toBe(1);
    expect(await keysNamed(text)).toBe(1);
    expect(essence(await post(keysPath(), text, options))).toEqual(essence(made[0] as Reply));
  });

  it('is told to a client that hung up before it was', async () => {
    const text = newText();
    const body = JSON.stringify({ name: text, role: 'analyst' });
    const socket = connect({ port: Number(new URL(api.origin).port), host: '127.0.0.1' });
    socket.end(
      `POST /api/v1${keysPath()} HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${project.keys.admin}\r\nIdempotency-Key: ${text}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`,
      () => socket.destroy(),
    );
    while ((await keysNamed(text)) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    let reply: Reply;
    do reply = await post(keysPath(), text, { key: project.keys.admin, body });
    while (reply.status === 409);
    expect([reply.status, isReplayed(reply), await keysNamed(text)]).toEqual([201, true, 1]);
  });
});

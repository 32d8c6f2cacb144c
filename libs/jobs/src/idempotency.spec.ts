import { Readable } from 'node:stream';
import { KeySecret } from '#access';
import { Config } from '#platform';
import { JsonBody, RequestStream, Problem, type ProblemSlug } from '#http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { fastify as createFastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { Idempotency } from './idempotency.js';
import { IdempotencyStore } from './idempotency.store.js';

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;
interface PostOptions {
  headers?: Record<string, string>;
  on?: FastifyInstance;
  method?: 'POST' | 'PUT';
  url?: string;
}
interface TestResponse {
  status: number;
  text: string;
  isReplayed: boolean;
  headers: Record<string, unknown>;
}

let db: TestDatabase;
let server: FastifyInstance;
/** The handler of the only route. */
let handler: Handler;
let runs: number;

beforeAll(async () => {
  db = await cloneDatabase();
  await db.sql('CREATE TABLE effects (n integer)');
  server = await createServer();
});
beforeEach(async () => {
  await db.sql('TRUNCATE effects, idempotency_keys');
  runs = 0;
});
afterAll(async () => {
  await server.close();
  await db.close();
});

async function createServer(): Promise<FastifyInstance> {
  const config = new Config({ STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters' });
  const secret = await KeySecret.load(config);
  const fastify = createFastify();
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser(['application/json', 'application/other'], { parseAs: 'buffer' }, (_, bytes, done) => {
    done(null, new JsonBody(bytes as Buffer, 1000));
  });
  fastify.addContentTypeParser('application/x-ndjson', (_, payload, done) => {
    done(null, new RequestStream('application/x-ndjson', payload, 'client'));
  });
  fastify.addHook('onRequest', (request, _reply, done) => {
    request.principal = {
      keyId: request.headers.from ?? '1',
      keyName: 'key',
      role: 'producer',
      projectId: 1,
      deviceId: null,
    };
    done();
  });
  new Idempotency(new IdempotencyStore(db.database), db.sequence, secret).guard(fastify);
  fastify.setErrorHandler((error, _request, reply) => {
    const { status, slug, headers } = error instanceof Problem ? error : { status: 500, slug: 'internal', headers: {} };
    return reply.code(status).headers(headers).send({ slug });
  });
  for (const url of ['/things', '/others']) {
    fastify.route({
      method: ['POST', 'PUT'],
      url,
      handler: (request, reply) => {
        runs++;
        return handler(request, reply);
      },
    });
  }
  await fastify.ready();
  return fastify;
}

async function post(
  body = '{}',
  { headers = {}, on = server, method = 'POST', url = '/things' }: PostOptions = {},
): Promise<TestResponse> {
  const reply = await on.inject({
    method,
    url,
    payload: body,
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': 'k', ...headers },
  });
  const isReplayed = reply.headers['idempotency-replayed'] === 'true';
  return { status: reply.statusCode, text: reply.body, isReplayed, headers: reply.headers };
}

async function effects(): Promise<number> {
  return (await db.sql('SELECT n FROM effects')).length;
}

/** Stores an effect and its receipt in one transaction, as operations do. */
async function store(request: FastifyRequest, after: () => void = () => undefined): Promise<void> {
  await db.database.transaction(async (tx) => {
    await tx.query('INSERT INTO effects VALUES (1)');
    await request.receipt?.(tx, { status: 201, text: '{"n":1}', headers: { Location: '/things/1' } });
    after();
  });
}

function problemOf(slug: ProblemSlug): Problem {
  return new Problem(slug, { detail: 'A problem of the test.' });
}

const respond: Handler = (_, reply) => reply.code(201).send({ run: runs });

describe('a response', () => {
  it.each([200, 201, 202, 207, 400, 404, 409, 412, 413])('with status %i is replayed', async (status) => {
    handler = (_, reply) => reply.code(status).header('ETag', '"e"').header('X-Other', 'o').send({ run: runs });
    const [first, second] = [await post(), await post()];
    expect([first.status, first.text, first.isReplayed]).toEqual([status, '{"run":1}', false]);
    expect([second.status, second.text, second.isReplayed]).toEqual([status, '{"run":1}', true]);
    expect(second.headers['content-type']).toBe(first.headers['content-type']);
    expect([second.headers.etag, second.headers['x-other']]).toEqual(['"e"', undefined]);
  });

  it.each([408, 429, 500, 502, 503])(
    'with status %i is not replayed, and the key can be sent with another body',
    async (status) => {
      handler = (_, reply) => reply.code(status).send({ run: runs });
      expect([await post(), await post()]).toMatchObject([
        { text: '{"run":1}', isReplayed: false },
        { text: '{"run":2}', isReplayed: false },
      ]);
      expect((await post('{"other":1}')).status).toBe(status);
      expect(await db.sql('SELECT FROM idempotency_keys')).toEqual([]);
    },
  );

  it('without a body is replayed', async () => {
    handler = (_, reply) => reply.code(204).send();
    expect([await post(), await post()]).toMatchObject([
      { status: 204, text: '', isReplayed: false },
      { status: 204, text: '', isReplayed: true },
    ]);
  });

  it('that is a stream is sent and not stored', async () => {
    handler = (_, reply) => reply.type('application/json').send(Readable.from(['{"run":', String(runs), '}']));
    expect([(await post()).text, (await post()).text]).toEqual(['{"run":1}', '{"run":2}']);
  });

  it('is sent even if it cannot be stored', async () => {
    handler = async (request, reply) => {
      await db.sql('ALTER TABLE idempotency_keys RENAME TO idempotency_keys_away');
      return respond(request, reply);
    };
    try {
      expect(await post()).toMatchObject({ status: 201, text: '{"run":1}' });
    } finally {
      await db.sql('ALTER TABLE idempotency_keys_away RENAME TO idempotency_keys');
    }
  });

  it('expires after 24 hours; then the key can be sent with another body', async () => {
    handler = respond;
    await post();
    const [row] = await db.sql<{ hours: number }>(
      `SELECT extract(epoch FROM expires_at - now())::float / 3600 AS hours FROM idempotency_keys`,
    );
    expect(row?.hours).toBeCloseTo(24, 1);
    await db.sql('UPDATE idempotency_keys SET expires_at = now()');
    expect(await post('{"other":1}')).toMatchObject({ status: 201, text: '{"run":2}', isReplayed: false });
    expect(await post('{"other":1}')).toMatchObject({ text: '{"run":2}', isReplayed: true });
  });
});

describe('the same key', () => {
  it.each([
    ['another body', '{ }', {}],
    ['no body', '', {}],
    ['another preference', '{}', { headers: { Prefer: 'respond-async' } }],
    ['another media type', '{}', { headers: { 'Content-Type': 'application/other' } }],
    ['another query', '{}', { url: '/things?dry_run=true' }],
  ])('is rejected with %s, and the handler does not run', async (_, body, options) => {
    handler = respond;
    await post();
    const reply = await post(body, options);
    expect([reply.status, reply.text]).toEqual([400, '{"slug":"idempotency-key-reused"}']);
    expect(runs).toBe(1);
    expect((await post()).isReplayed).toBe(true);
  });

  it.each([
    ['in quotes', { 'Idempotency-Key': '"k"' }],
    ['with a parameter of the media type', { 'Content-Type': 'application/json; charset=utf-8' }],
  ])('matches %s', async (_, headers) => {
    handler = respond;
    await post();
    expect((await post('{}', { headers })).isReplayed).toBe(true);
  });

  it.each([
    ['at another URL', { url: '/others' }],
    ['from another API key', { headers: { From: '2' } }],
  ])('is another key %s', async (_, options) => {
    handler = respond;
    await post();
    expect(await post('{"other":1}', options)).toMatchObject({ status: 201, isReplayed: false });
    expect(await post()).toMatchObject({ text: '{"run":1}', isReplayed: true });
  });

  it('is ignored for idempotent methods', async () => {
    handler = respond;
    await post();
    expect(await post('{"other":1}', { method: 'PUT' })).toMatchObject({ status: 201, isReplayed: false });
  });

  it('is rejected for a body that can be read only once', async () => {
    handler = respond;
    const reply = await post('{}', { headers: { 'Content-Type': 'application/x-ndjson' } });
    expect([reply.status, reply.text, runs]).toEqual([400, '{"slug":"invalid-header"}', 0]);
  });
});

describe('a request without the header', () => {
  it('sends no query to the database', async () => {
    handler = respond;
    await db.sql('ALTER TABLE idempotency_keys RENAME TO idempotency_keys_away');
    try {
      const reply = await server.inject({ method: 'POST', url: '/things' });
      expect([reply.statusCode, reply.body]).toEqual([201, '{"run":1}']);
    } finally {
      await db.sql('ALTER TABLE idempotency_keys_away RENAME TO idempotency_keys');
    }
  });
});

describe('a receipt', () => {
  it('stores the response with the effect: a crash right after COMMIT loses neither', async () => {
    handler = async (request) => {
      await store(request);
      throw new Error('failed right after COMMIT');
    };
    expect((await post()).status).toBe(500);
    const again = await post();
    expect(again).toMatchObject({ status: 201, text: '{"n":1}', isReplayed: true });
    expect(again.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', location: '/things/1' });
    expect([runs, await effects()]).toEqual([1, 1]);
  });

  it('is rolled back with the effect, and the key can be used again', async () => {
    handler = (request) =>
      store(request, () => {
        throw new Error('failed before COMMIT');
      });
    expect((await post()).status).toBe(500);
    handler = async (request, reply) => {
      await store(request);
      return reply.code(201).type('application/json; charset=utf-8').send('{"n":1}');
    };
    expect(await post()).toMatchObject({ status: 201, isReplayed: false });
    expect(await post()).toMatchObject({ status: 201, text: '{"n":1}', isReplayed: true });
    expect(await effects()).toBe(1);
  });

  it('that is rolled back because of a problem is replaced by the problem, which is replayed', async () => {
    handler = (request) =>
      store(request, () => {
        throw problemOf('conflict');
      });
    expect([await post(), await post()]).toMatchObject([
      { status: 409, isReplayed: false },
      { status: 409, isReplayed: true },
    ]);
    expect([runs, await effects()]).toEqual([1, 0]);
  });
});

describe('a running request', () => {
  let resume: () => void;
  let first: Promise<TestResponse>;
  let on: FastifyInstance;

  beforeEach(async () => {
    jest.useFakeTimers({
      doNotFake: [
        'Date',
        'hrtime',
        'nextTick',
        'performance',
        'queueMicrotask',
        'setImmediate',
        'clearImmediate',
        'setTimeout',
        'clearTimeout',
      ],
    });
    on = await createServer();
    const go = new Promise<void>((resolve) => (resume = resolve));
    const started = new Promise<void>((resolve) => {
      handler = async (request, reply) => {
        resolve();
        if (runs === 1) await go;
        await store(request);
        return reply.code(201).type('application/json; charset=utf-8').send(`{"n":1}`);
      };
    });
    first = post('{}', { on });
    await started;
  });
  afterEach(async () => {
    resume();
    await first;
    await on.close();
    jest.useRealTimers();
  });

  it('causes 409 for the same request, and 400 for another request with its key', async () => {
    const [same, other] = [await post(), await post('{"other":1}')];
    expect([same.status, same.text, same.headers['retry-after']]).toEqual([
      409,
      '{"slug":"idempotency-in-progress"}',
      '1',
    ]);
    expect([other.status, other.text]).toEqual([400, '{"slug":"idempotency-key-reused"}']);
    resume();
    expect(await first).toMatchObject({ status: 201, isReplayed: false });
    expect((await post()).isReplayed).toBe(true);
    expect([runs, await effects()]).toEqual([1, 1]);
  });

  it('renews its claim on the key while it runs', async () => {
    await db.sql(`UPDATE idempotency_keys SET claimed_until = now() + interval '1 second'`);
    jest.advanceTimersByTime(5_000);
    let left = 0;
    for (let look = 0; look < 100 && left < 10; look++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      const [row] = await db.sql<{ left: number }>(
        'SELECT extract(epoch FROM claimed_until - now())::float AS left FROM idempotency_keys',
      );
      left = row?.left ?? 0;
    }
    expect(left).toBeGreaterThan(10);
    expect((await post()).status).toBe(409);
  });

  it('can be repeated after its server dies, and has no effect if that server resumes', async () => {
    await db.sql('UPDATE idempotency_keys SET claimed_until = now()');
    expect((await post('{"other":1}')).status).toBe(400);
    expect(await post()).toMatchObject({ status: 201, isReplayed: false });
    expect([runs, await effects()]).toEqual([2, 1]);
    resume();
    expect(await first).toMatchObject({ status: 409, text: '{"slug":"idempotency-in-progress"}' });
    expect(await effects()).toBe(1);
    expect(await post()).toMatchObject({ status: 201, text: '{"n":1}', isReplayed: true });
  });
});

import { Readable } from 'node:stream';
import { KeySecret } from '#access';
import { Config } from '#platform';
import { JsonBody, NdjsonBody, Problem, type ProblemSlug } from '#http';
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
interface Answer {
  status: number;
  text: string;
  isReplayed: boolean;
  headers: Record<string, unknown>;
}

let db: TestDatabase;
let server: FastifyInstance;
/** What the one route of the test does. */
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
    done(null, new NdjsonBody(payload));
  });
  fastify.addHook('onRequest', (request, _reply, done) => {
    request.principal = { keyId: request.headers.from ?? '1', role: 'producer', projectId: 1, deviceId: null };
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
): Promise<Answer> {
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

/** An effect with its receipt in one transaction, as an operation has it. */
async function store(request: FastifyRequest, after: () => void = () => undefined): Promise<void> {
  await db.database.transaction(async (tx) => {
    await tx.query('INSERT INTO effects VALUES (1)');
    await request.receipt?.(tx, { status: 201, text: '{"n":1}', headers: { Location: '/things/1' } });
    after();
  });
}

function refusal(slug: ProblemSlug): Problem {
  return new Problem(slug, { detail: 'Said by the test.' });
}

const answering: Handler = (_, reply) => reply.code(201).send({ run: runs });

describe('an answer', () => {
  it.each([200, 201, 202, 207, 400, 404, 409, 412, 413])('of status %i is given again', async (status) => {
    handler = (_, reply) => reply.code(status).header('ETag', '"e"').header('X-Other', 'o').send({ run: runs });
    const [first, second] = [await post(), await post()];
    expect([first.status, first.text, first.isReplayed]).toEqual([status, '{"run":1}', false]);
    expect([second.status, second.text, second.isReplayed]).toEqual([status, '{"run":1}', true]);
    expect(second.headers['content-type']).toBe(first.headers['content-type']);
    expect([second.headers.etag, second.headers['x-other']]).toEqual(['"e"', undefined]);
  });

  it.each([408, 429, 500, 502, 503])('of status %i is not, and another body may follow', async (status) => {
    handler = (_, reply) => reply.code(status).send({ run: runs });
    expect([await post(), await post()]).toMatchObject([
      { text: '{"run":1}', isReplayed: false },
      { text: '{"run":2}', isReplayed: false },
    ]);
    expect((await post('{"other":1}')).status).toBe(status);
    expect(await db.sql('SELECT FROM idempotency_keys')).toEqual([]);
  });

  it('without a body is given again', async () => {
    handler = (_, reply) => reply.code(204).send();
    expect([await post(), await post()]).toMatchObject([
      { status: 204, text: '', isReplayed: false },
      { status: 204, text: '', isReplayed: true },
    ]);
  });

  it('that is a stream goes out and is not kept', async () => {
    handler = (_, reply) => reply.type('application/json').send(Readable.from(['{"run":', String(runs), '}']));
    expect([(await post()).text, (await post()).text]).toEqual(['{"run":1}', '{"run":2}']);
  });

  it('is given although it cannot be kept', async () => {
    handler = async (request, reply) => {
      await db.sql('ALTER TABLE idempotency_keys RENAME TO out_of_reach');
      return answering(request, reply);
    };
    try {
      expect(await post()).toMatchObject({ status: 201, text: '{"run":1}' });
    } finally {
      await db.sql('ALTER TABLE out_of_reach RENAME TO idempotency_keys');
    }
  });

  it('is forgotten after 24 hours, so that the key may come with another body', async () => {
    handler = answering;
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
  ])('with %s is refused and runs nothing', async (_, body, options) => {
    handler = answering;
    await post();
    const reply = await post(body, options);
    expect([reply.status, reply.text]).toEqual([400, '{"slug":"idempotency-key-reused"}']);
    expect(runs).toBe(1);
    expect((await post()).isReplayed).toBe(true);
  });

  it.each([
    ['in quotes', { 'Idempotency-Key': '"k"' }],
    ['with a parameter of the media type', { 'Content-Type': 'application/json; charset=utf-8' }],
  ])('%s means the same', async (_, headers) => {
    handler = answering;
    await post();
    expect((await post('{}', { headers })).isReplayed).toBe(true);
  });

  it.each([
    ['at another address', { url: '/others' }],
    ['of another API key', { headers: { From: '2' } }],
  ])('%s is another key', async (_, options) => {
    handler = answering;
    await post();
    expect(await post('{"other":1}', options)).toMatchObject({ status: 201, isReplayed: false });
    expect(await post()).toMatchObject({ text: '{"run":1}', isReplayed: true });
  });

  it('is ignored by a method that can be repeated anyway', async () => {
    handler = answering;
    await post();
    expect(await post('{"other":1}', { method: 'PUT' })).toMatchObject({ status: 201, isReplayed: false });
  });

  it('does not go with a body that can be read only once', async () => {
    handler = answering;
    const reply = await post('{}', { headers: { 'Content-Type': 'application/x-ndjson' } });
    expect([reply.status, reply.text, runs]).toEqual([400, '{"slug":"invalid-header"}', 0]);
  });
});

describe('a request without the header', () => {
  it('asks the database nothing', async () => {
    handler = answering;
    await db.sql('ALTER TABLE idempotency_keys RENAME TO out_of_reach');
    try {
      const reply = await server.inject({ method: 'POST', url: '/things' });
      expect([reply.statusCode, reply.body]).toEqual([201, '{"run":1}']);
    } finally {
      await db.sql('ALTER TABLE out_of_reach RENAME TO idempotency_keys');
    }
  });
});

describe('a receipt', () => {
  it('keeps the answer with the effect, so that a crash right after COMMIT loses neither', async () => {
    handler = async (request) => {
      await store(request);
      throw new Error('broke right after COMMIT');
    };
    expect((await post()).status).toBe(500);
    const again = await post();
    expect(again).toMatchObject({ status: 201, text: '{"n":1}', isReplayed: true });
    expect(again.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', location: '/things/1' });
    expect([runs, await effects()]).toEqual([1, 1]);
  });

  it('is undone with the effect, and the key is free again', async () => {
    handler = (request) =>
      store(request, () => {
        throw new Error('broke before COMMIT');
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

  it('that was undone by a refusal leaves the refusal to be kept', async () => {
    handler = (request) =>
      store(request, () => {
        throw refusal('conflict');
      });
    expect([await post(), await post()]).toMatchObject([
      { status: 409, isReplayed: false },
      { status: 409, isReplayed: true },
    ]);
    expect([runs, await effects()]).toEqual([1, 0]);
  });
});

describe('a request that still runs', () => {
  let resume: () => void;
  let first: Promise<Answer>;
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

  it('keeps the others out: 409 for the same request, 400 for another', async () => {
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

  it('goes on keeping them out for as long as it runs', async () => {
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

  it('is taken over when its server died, and has no effect if it wakes up again', async () => {
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

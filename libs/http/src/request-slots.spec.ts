import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ReadDatabase } from '#database';
import { Config } from '#platform';
import Fastify, { type FastifyInstance } from 'fastify';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { RequestSlots } from './request-slots.js';

let db: TestDatabase;
let fastify: FastifyInstance;

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());
beforeEach(() => {
  fastify = Fastify();
});
afterEach(() => fastify.close());

/** The number of slots of a project that is alone. */
function addSlots(): number {
  const config = new Config({}).database;
  const slots = new RequestSlots(db.database, ReadDatabase.ofPrimary(db.database), config);
  slots.guard(fastify);
  slots.releaseOnSend(fastify);
  return Math.floor((config.sharedMax * 2) / 3) - 2;
}

/** Authenticates all requests; the client of those to /leaving has left before the end. */
function authenticate(leaving: AbortController): void {
  fastify.addHook('onRequest', async (request, reply) => {
    request.principal = { keyId: '1', keyName: 'key', role: 'analyst', projectId: 1, deviceId: null };
    if (request.url !== '/leaving') return;
    leaving.abort();
    await once(reply.raw, 'close');
  });
}

describe('a read whose client leaves during the authentication', () => {
  it('runs no query', async () => {
    const leaving = new AbortController();
    authenticate(leaving);
    addSlots();
    const result = new Promise((resolve) => {
      fastify.get('/leaving', async ({ queries }) => {
        resolve(await queries?.query('SELECT 1').catch((error: unknown) => error));
      });
    });
    const origin = await fastify.listen({ port: 0, host: '127.0.0.1' });
    await expect(fetch(`${origin}/leaving`, { signal: leaving.signal })).rejects.toThrow();
    expect(await result).toMatchObject({ name: 'ClientGoneError' });
  });

  it('does not wait for a slot', async () => {
    const leaving = new AbortController();
    authenticate(leaving);
    const slots = addSlots();
    const respond: ((body: object) => void)[] = [];
    const allAreUsed = new Promise<void>((resolve) => {
      fastify.get('/', () => {
        if (respond.length === slots - 1) resolve();
        return new Promise<object>((respondWith) => respond.push(respondWith));
      });
    });
    fastify.get('/leaving', () => ({}));
    const failed = new Promise((resolve) => {
      fastify.setErrorHandler((error, _request, reply) => {
        resolve(error);
        return reply.send({});
      });
    });
    const origin = await fastify.listen({ port: 0, host: '127.0.0.1' });
    const holding = Array.from({ length: slots }, () => fetch(origin));
    await allAreUsed;
    await expect(fetch(`${origin}/leaving`, { signal: leaving.signal })).rejects.toThrow();
    expect(await failed).toMatchObject({ name: 'ClientGoneError' });
    for (const one of respond) one({});
    await Promise.all(holding);
  });
});

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

function addSlots(): void {
  const slots = new RequestSlots(db.database, ReadDatabase.ofPrimary(db.database), new Config({}).database);
  slots.guard(fastify);
  slots.releaseOnSend(fastify);
}

describe('a read whose client leaves during the authentication', () => {
  it('runs no query', async () => {
    const leaving = new AbortController();
    fastify.addHook('onRequest', async (request, reply) => {
      request.principal = { keyId: '1', keyName: 'key', role: 'analyst', projectId: 1, deviceId: null };
      leaving.abort();
      await once(reply.raw, 'close');
    });
    addSlots();
    const result = new Promise((resolve) => {
      fastify.get('/', async ({ queries }) => {
        resolve(await queries?.query('SELECT 1').catch((error: unknown) => error));
      });
    });
    const origin = await fastify.listen({ port: 0, host: '127.0.0.1' });
    await expect(fetch(origin, { signal: leaving.signal })).rejects.toThrow();
    expect(await result).toMatchObject({ name: 'ClientGoneError' });
  });
});

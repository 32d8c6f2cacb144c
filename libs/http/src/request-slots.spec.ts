import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
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

/** With the number of slots of a project that is alone. */
function addSlots(load = { isSaturated: false }): { slots: RequestSlots; alone: number } {
  const config = new Config({}).database;
  const slots = new RequestSlots(db.database, ReadDatabase.ofPrimary(db.database), config, load);
  slots.guard(fastify);
  slots.releaseOnSend(fastify);
  return { slots, alone: Math.floor((config.sharedMax * 2) / 3) - 2 };
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
    const { alone } = addSlots();
    const respond: ((body: object) => void)[] = [];
    const allAreUsed = new Promise<void>((resolve) => {
      fastify.get('/', () => {
        if (respond.length === alone - 1) resolve();
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
    const holding = Array.from({ length: alone }, () => fetch(origin));
    await allAreUsed;
    await expect(fetch(`${origin}/leaving`, { signal: leaving.signal })).rejects.toThrow();
    expect(await failed).toMatchObject({ name: 'ClientGoneError' });
    for (const one of respond) one({});
    await Promise.all(holding);
  });
});

describe('a project with several requests while another one has work', () => {
  it('has two slots while the event loop is saturated', async () => {
    fastify.addHook('onRequest', (request, _reply, done) => {
      const projectId = Number(request.headers.project);
      request.principal = { keyId: '1', keyName: 'key', role: 'analyst', projectId, deviceId: null };
      done();
    });
    const { slots } = addSlots({ isSaturated: true });
    const respond: ((body: object) => void)[] = [];
    fastify.get('/', () => new Promise<object>((respondWith) => respond.push(respondWith)));
    const origin = await fastify.listen({ port: 0, host: '127.0.0.1' });
    const send = (project: string): Promise<Response> => fetch(origin, { headers: { project } });
    const all = [send('2')];
    while (respond.length < 1) await sleep(1);
    for (let i = 0; i < 3; i++) all.push(send('1'));
    while (slots.state.used + slots.state.waiting < 4) await sleep(1);
    expect(slots.state).toMatchObject({ used: 3, waiting: 1 });
    for (let ended = 0; ended < 4; ended++) {
      while (respond.length === 0) await sleep(1);
      respond.shift()?.({});
    }
    expect((await Promise.all(all)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });
});

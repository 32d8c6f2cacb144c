import { setTimeout as sleep } from 'node:timers/promises';
import { type Database } from '#database';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { KeyCache } from './key-cache.js';

const TIMES = { checkEveryMs: 20, currentForMs: 5_000, retryMinMs: 10, retryMaxMs: 50 };
const SECOND_MS = 1_000;

let db: TestDatabase;
let database: Database;
let cache: KeyCache;
let movedMs: number;

beforeAll(async () => {
  db = await cloneDatabase();
  database = db.database;
});
afterAll(() => db.close());
beforeEach(() => {
  cache = new KeyCache(database, TIMES);
  const now = performance.now.bind(performance);
  movedMs = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => now() + movedMs);
});
afterEach(async () => {
  jest.restoreAllMocks();
  await cache.onApplicationShutdown();
});

/** Stores a key as the look-up of a request does. */
function store(keyId: string, expiresAtMs = Infinity, lookUp = cache.beginLookUp()): void {
  const principal = { keyId, keyName: 'k', role: 'analyst', projectId: 1, deviceId: null } as const;
  cache.store(`hash of ${keyId}`, {
    principal,
    expiresAtMs,
    usedAtMs: 0,
    unrecorded: null,
    lookUp,
  });
}

const has = (keyId: string): boolean => cache.find(`hash of ${keyId}`) !== undefined;

async function until(holds: () => boolean): Promise<void> {
  for (let rounds = 0; !holds(); rounds++) {
    if (rounds > 2_000) throw new Error('it did not become true');
    await sleep(5);
  }
}

/** Resolves when the cache listens, on another connection than before. */
async function listens(before = 0): Promise<number> {
  await until(() => ![0, before].includes(cache.beginLookUp().session));
  return cache.beginLookUp().session;
}

const notify = (keyId: string): Promise<unknown> =>
  database.query(`SELECT pg_notify('stowage_key_changes', $1)`, [keyId]);

function terminateListener(): Promise<unknown> {
  return database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'stowage listener'`,
  );
}

describe('without notifications', () => {
  it('a key is used for 4 seconds', () => {
    store('1');
    movedMs = 3_900;
    expect(has('1')).toBe(true);
    movedMs = 4_100;
    expect(has('1')).toBe(false);
  });
});

describe('while notifications arrive', () => {
  it('a key is used for 10 minutes', async () => {
    cache.listen();
    await listens();
    store('1');
    for (const ms of [6 * SECOND_MS, 599 * SECOND_MS]) {
      movedMs = ms;
      await until(() => has('1'));
    }
    store('2');
    movedMs = 601 * SECOND_MS;
    await until(() => has('2'));
    expect(has('1')).toBe(false);
  });

  it('a key is not used after its expiry', async () => {
    cache.listen();
    await listens();
    store('1', Date.now() + 1_000);
    expect(has('1')).toBe(true);
    const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 1_001);
    expect(has('1')).toBe(false);
    clock.mockRestore();
  });

  it('a key is removed when a change of it is announced, and other keys stay', async () => {
    cache.listen();
    await listens();
    store('1');
    store('2');
    await notify('1');
    await until(() => !has('1'));
    expect(has('2')).toBe(true);
  });

  it('a key that was looked up before a change is announced does not enter the cache after it', async () => {
    cache.listen();
    await listens();
    const lookUp = cache.beginLookUp();
    store('1');
    await notify('1');
    await until(() => !has('1'));
    store('1', Infinity, lookUp);
    expect(has('1')).toBe(false);
  });
});

describe('after the connection was lost', () => {
  it('a key that was looked up before is used for 4 seconds after its look-up, also when the cache listens again', async () => {
    cache.listen();
    const session = await listens();
    store('1');
    await terminateListener();
    await listens(session);
    store('2');
    expect(has('1')).toBe(true);
    movedMs = 6 * SECOND_MS;
    await until(() => has('2'));
    expect(has('1')).toBe(false);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Config } from '#platform';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { KeySecret } from './key-secret.js';
import { describeUnmatched, matchKeys } from './unmatched-keys.js';

const [ONE, TWO, THREE] = ['one', 'two', 'three'].map((name) => name.repeat(11)) as [string, string, string];

let db: TestDatabase;

beforeAll(async () => {
  db = await cloneDatabase();
  const past = '2026-01-01T00:00:00Z';
  for (const [key, secretId, revoked, expires] of [
    [1, KeySecret.idOf(ONE), null, null],
    [2, KeySecret.idOf(TWO), null, 'infinity'],
    [3, null, null, null],
    [4, KeySecret.idOf(THREE), past, null],
    [5, KeySecret.idOf(THREE), null, past],
  ]) {
    await db.sql(
      `INSERT INTO api_keys (key_id, role, name, prefix, hash, secret_id, revoked_at, expires_at)
       VALUES ($1, 'operator', 'k', 'stw', $2, $3, $4, $5)`,
      [key, Buffer.from(String(key)), secretId, revoked, expires],
    );
  }
});
afterAll(() => db.close());

async function describeWith(settings: Record<string, string>): Promise<string | null> {
  const config = new Config({ STOWAGE_DATA_DIR: '/nowhere', ...settings });
  return describeUnmatched(await matchKeys(db.database, await KeySecret.find(config)), config);
}

describe('keys of another key secret', () => {
  it('are those that neither the current secret nor the previous one accepts, without revoked and expired ones', async () => {
    expect(await describeWith({ STOWAGE_KEY_SECRET: ONE, STOWAGE_KEY_SECRET_PREVIOUS: TWO })).toBeNull();
    expect(await describeWith({ STOWAGE_KEY_SECRET: ONE })).toMatch(
      /^1 of 3 API keys does not work with the key secret in STOWAGE_KEY_SECRET: it was created with another one /,
    );
    expect(await describeWith({ STOWAGE_KEY_SECRET: THREE })).toMatch(/^2 of 3 API keys do not work .*: they were /);
    expect(await describeWith({})).toMatch(/ in \/nowhere\/key-secret: /);
  });

  it('replace a secret only where no key works with it', () => {
    const settings = { STOWAGE_DATA_DIR: '/nowhere' };
    for (const config of [new Config(settings), new Config({ ...settings, STOWAGE_KEY_SECRET: ONE })]) {
      const some = describeUnmatched({ keys: 3, unknown: 0, unmatched: 1 }, config);
      expect(some).toMatch(/; set that one as STOWAGE_KEY_SECRET_PREVIOUS, or revoke those that are not needed/);
      expect(some).not.toMatch(/copy|set STOWAGE_KEY_SECRET/);
    }
    const all = { keys: 1, unknown: 0, unmatched: 1 };
    expect(describeUnmatched(all, new Config(settings))).toMatch(
      /^1 of 1 API key does not .*; copy the file key-secret of that installation over it, or set STOWAGE_KEY_SECRET$/,
    );
    expect(describeUnmatched(all, new Config({ ...settings, STOWAGE_KEY_SECRET: ONE }))).toMatch(
      /; set STOWAGE_KEY_SECRET to that one$/,
    );
  });
});

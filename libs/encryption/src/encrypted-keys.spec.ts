import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Config } from '#platform';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { EncryptedKeys } from './encrypted-keys.js';

const PROJECT = 7;
const OBJECTS = 50;
/** Of each object: some ms of work. */
const PAIRS = 3_000;

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

describe('sealObjects', () => {
  it('lets other work run between the objects of a large batch', async () => {
    const config = new Config({ STOWAGE_DATA_KEY: randomBytes(32).toString('base64') });
    const encryption = new EncryptedKeys(db.database, config);
    await db.sql(
      `INSERT INTO projects (project_id, seq, name, encrypted_keys, encryption_key_id) VALUES ($1, 1, 'p', '{name}', $2)`,
      [PROJECT, encryption.current?.id],
    );
    await encryption.read();
    const data = `[${Array.from({ length: PAIRS }, (_, n) => `{"key":"name","value":${String(n)}}`).join()}]`;
    const objects = Array.from({ length: OBJECTS }, (_, n) => ({ objectId: String(n), data }));
    const work = { turns: 0, isDone: false };
    const count = async (): Promise<void> => {
      for (; !work.isDone; work.turns++) await nextTurn();
    };
    const counting = count();
    const sealed = await encryption.sealObjects(PROJECT, objects);
    work.isDone = true;
    await counting;
    expect(sealed.map(({ objectId, data: text }) => encryption.open(PROJECT, objectId, text))).toEqual(
      objects.map(() => expect.stringMatching(/"value": ?0/) as unknown),
    );
    expect(work.turns).toBeGreaterThan(OBJECTS / 5);
  });
});

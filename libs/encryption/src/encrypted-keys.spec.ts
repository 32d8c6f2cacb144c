import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Config, MissingDataKeyError } from '#platform';
import { Telemetry } from '#telemetry';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { EncryptedKeys } from './encrypted-keys.js';

const PROJECT = 7;
/** Of an object at first: some ms of work. */
const PAIRS = 2_000;
/** On any machine this is more work than is done without a pause. */
const PAIRS_MAX = 16_000;

let db: TestDatabase;
let encryption: EncryptedKeys;
beforeAll(async () => {
  db = await cloneDatabase();
  encryption = new EncryptedKeys(
    db.database,
    Telemetry.off(),
    new Config({ STOWAGE_DATA_KEY: randomBytes(32).toString('base64') }),
  );
  await db.sql(
    `INSERT INTO projects (project_id, seq, name, encrypted_keys, encryption_key_id) VALUES ($1, 1, 'p', '{name}', $2)`,
    [PROJECT, encryption.current?.id],
  );
  await encryption.read();
});
afterAll(() => db.close());

describe('values', () => {
  it.each([
    ['a large batch', 20, 1],
    ['one large object', 1, 20],
  ])('of %s are sealed and opened while other work runs', async (_, count, size) => {
    const most = { sealed: 0, opened: 0 };
    // The work doubles until others had several turns: without pauses they have at most one, however much it is.
    for (let pairs = PAIRS; Math.min(most.sealed, most.opened) < 3 && pairs <= PAIRS_MAX; pairs *= 2) {
      const values = Array.from({ length: pairs * size }, (__, n) => `{"key": "name", "value": ${String(n)}}`);
      const data = `[${values.join(', ')}]`;
      const objects = Array.from({ length: count }, (__, n) => ({ objectId: String(n), data }));
      const sealed = await countTurns(() => encryption.sealObjects(PROJECT, objects));
      const rows = sealed.result.map(({ objectId, data: text }) => ({ object_id: objectId, data: text }));
      expect(rows[0]?.data.slice(0, 40)).toContain('"$enc1:');
      const opened = await countTurns(() => encryption.openRows(PROJECT, rows));
      expect(opened.result.every((row) => row.data === data)).toBe(true);
      most.sealed = Math.max(most.sealed, sealed.turns);
      most.opened = Math.max(most.opened, opened.turns);
    }
    expect(Math.min(most.sealed, most.opened)).toBeGreaterThanOrEqual(3);
  });
});

/** Counts how often other work runs. */
async function countTurns<T>(work: () => Promise<T>): Promise<{ result: T; turns: number }> {
  const state = { turns: 0, isDone: false };
  const count = async (): Promise<void> => {
    for (; !state.isDone; state.turns++) await nextTurn();
  };
  const counting = count();
  const result = await work();
  state.isDone = true;
  await counting;
  return { result, turns: state.turns };
}

describe('a process that has not heard of another data key', () => {
  it('reads which keys are needed when it finds a value with that key, and refuses it', async () => {
    const other = new EncryptedKeys(
      db.database,
      Telemetry.off(),
      new Config({ STOWAGE_DATA_KEY: randomBytes(32).toString('base64') }),
    );
    const setKey = async (id: string | undefined): Promise<unknown> =>
      db.sql('UPDATE projects SET encryption_key_id = $2 WHERE project_id = $1', [PROJECT, id]);
    await db.sql('DELETE FROM data_keys');
    await setKey(other.current?.id);
    await other.read();
    expect(other.isReadable(PROJECT)).toBe(true);
    await db.sql('DELETE FROM data_keys');
    await setKey(encryption.current?.id);
    await encryption.read();
    const sealed = await encryption.seal(PROJECT, 'o', '[{"key": "name", "value": "Ada"}]');
    // It would otherwise take the text for a value, and encrypt it once more.
    await expect(other.open(PROJECT, 'o', sealed)).rejects.toThrow(MissingDataKeyError);
    expect(other.missingKeys).toEqual([encryption.current?.id]);
    const text = '[{"key": "note", "value": "$enc1:12345678:AAAA"}]';
    expect(await encryption.open(PROJECT, 'o', text)).toBe(text);
    // Where it cannot read them, it shows the text.
    const unknown = text.replace('note', 'name');
    await db.sql('ALTER TABLE data_keys RENAME TO data_keys_away');
    await expect(encryption.read()).rejects.toThrow('does not exist');
    expect(await encryption.open(PROJECT, 'o', unknown)).toBe(unknown);
    await db.sql('ALTER TABLE data_keys_away RENAME TO data_keys');
  });
});

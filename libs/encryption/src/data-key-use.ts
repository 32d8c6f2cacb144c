import { StartupError } from '#platform';
import type { Queryable } from '#database';
import type { DataKey } from './data-key.js';

/** How exact `data_keys.used_at` is: a process writes it at most this often. */
const USE_RECORDED_EVERY_S = 30;

/**
 * After this time without a process that has a data key as STOWAGE_DATA_KEY, nothing is sealed with it any more: longer than the record of
 * its use is exact, and a write can take from reading the lists to its transaction.
 */
export const KEY_UNUSED_AFTER_S = 120;

/**
 * A CTE that records, at most every 30 s, that data key $1 is in use. It does nothing without encrypted projects, or where a needed key is not
 * among $2: such a process encrypts nothing.
 */
export const RECORD_USE = `
  INSERT INTO data_keys (key_id, used_at)
  SELECT $1::text, now()
  WHERE EXISTS (SELECT FROM projects WHERE encryption_key_id IS NOT NULL)
    AND NOT EXISTS (SELECT FROM projects WHERE encryption_key_id IS NOT NULL AND encryption_key_id <> ALL ($2::text[]))
    AND NOT EXISTS (SELECT FROM data_keys WHERE key_id <> ALL ($2))
    AND NOT EXISTS (
      SELECT FROM data_keys WHERE key_id = $1 AND used_at > now() - interval '${String(USE_RECORDED_EVERY_S)} seconds')
  ON CONFLICT (key_id) DO UPDATE SET used_at = excluded.used_at`;

const NEEDED = `SELECT key_id FROM data_keys ORDER BY key_id`;

/**
 * Checks that this process can read all encrypted values. Without their key they would be sent to clients as they are stored.
 * @throws StartupError
 */
export async function requireDataKeys(on: Queryable, dataKeys: readonly DataKey[]): Promise<void> {
  const missing = await findMissingKeys(on, dataKeys);
  const [id] = missing;
  if (id === undefined) return;
  const others = dataKeys.map((one) => one.id).join(' and ');
  const given = others === '' ? 'STOWAGE_DATA_KEY is not set' : `the keys that are set have the id ${others}`;
  throw new StartupError(
    `the database has values that are encrypted with the data key ${id}, and ${given}; set STOWAGE_DATA_KEY to this key, or STOWAGE_DATA_KEY_PREVIOUS while it is replaced`,
  );
}

/** The ids of data keys that values may be encrypted with, and that are not given. */
export async function findMissingKeys(on: Queryable, dataKeys: readonly DataKey[]): Promise<string[]> {
  const rows = await on.query<{ key_id: string }>(NEEDED);
  return rows.map((row) => row.key_id).filter((id) => !dataKeys.some((one) => one.id === id));
}

import { join } from 'node:path';
import type { Queryable } from '#database';
import type { Config } from '#platform';
import { KeySecret } from './key-secret.js';

/** Of the keys that are neither revoked nor expired. The secret of a key that was not used since the migration 012 is unknown. */
const COUNT = `
  SELECT count(*) AS keys, count(*) FILTER (WHERE secret_id IS NULL) AS unknown,
    count(*) FILTER (WHERE secret_id <> ALL ($1::text[])) AS unmatched
  FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())`;

/** Whether the keys of a database work with the key secret of the settings. */
export interface KeyMatch {
  keys: number;
  unknown: number;
  /** Keys that do not work, because they were hashed with another secret. */
  unmatched: number;
}

/** @param secret null where there is none yet: then no key matches */
export async function matchKeys(on: Queryable, secret: KeySecret | null): Promise<KeyMatch> {
  const ids = (secret?.accepted ?? []).map((value) => KeySecret.idOf(value));
  const [row] = await on.query<Record<keyof KeyMatch, string>>(COUNT, [ids]);
  return { keys: Number(row?.keys), unknown: Number(row?.unknown), unmatched: Number(row?.unmatched) };
}

/**
 * What an operator has to do; null where every key works, as far as it is known. A secret by which some keys work must stay: only where none
 * does, another one may take its place.
 */
export function describeUnmatched({ keys, unmatched }: KeyMatch, { access, database }: Config): string | null {
  if (unmatched === 0) return null;
  const path = join(database.dataDir, 'key-secret');
  const [used, replace] =
    access.keySecret === null
      ? [`in ${path}`, `copy the file key-secret of that installation over it, or set STOWAGE_KEY_SECRET`]
      : ['in STOWAGE_KEY_SECRET', 'set STOWAGE_KEY_SECRET to that one'];
  const remedy =
    unmatched === keys
      ? replace
      : 'set that one as STOWAGE_KEY_SECRET_PREVIOUS, or revoke those that are not needed ("stowage key secret" lists them)';
  const which = `${String(unmatched)} of ${String(keys)} API ${keys === 1 ? 'key' : 'keys'}`;
  const [works, were] = unmatched === 1 ? ['does', 'it was'] : ['do', 'they were'];
  return `${which} ${works} not work with the key secret ${used}: ${were} created with another one (of another installation, lost, or replaced); ${remedy}`;
}

import type { ValueFilter } from './filter.js';
import { keyPaths } from './key-paths.js';

/** Keys whose values are encrypted, so that no condition can compare them; null for none. */
export type EncryptedKeyList = ReadonlySet<string> | null;

/**
 * Why the values of a key cannot be compared, sorted or counted; null where they can. That a key exists can be asked.
 * @param isExistence whether only the existence of the key counts
 */
export function encryptionError(
  encrypted: EncryptedKeyList,
  key: Pick<ValueFilter, 'key' | 'isLiteral'>,
  isExistence = false,
): string | null {
  if (encrypted === null || key.key === null) return null;
  for (const { key: name, members } of keyPaths(key)) {
    if (name === null || !encrypted.has(name)) continue;
    const shown = JSON.stringify(name);
    if (members.length > 0)
      return `leads into the values of the key ${shown}, which are encrypted; only $pair in the parameter data takes dots literally`;
    if (!isExistence) return `needs the values of the key ${shown}, which are encrypted`;
  }
  return null;
}

import { createHmac, hkdfSync, randomInt } from 'node:crypto';
import type { Role } from '#http';
import { isGeneratedKeyFormat, KEY_ALPHABET, KEY_RANDOM_LENGTH, withChecksum } from '#platform';

/**
 * Returns `stw_<role>_<random><checksum>`. Secret scanners recognize the prefix; the checksum rejects typing errors without a
 * query.
 */
export function makeKey(role: Role): string {
  const random = Array.from({ length: KEY_RANDOM_LENGTH }, () =>
    KEY_ALPHABET.charAt(randomInt(KEY_ALPHABET.length)),
  ).join('');
  return withChecksum(`stw_${role}_${random}`);
}

/** Derives a key from a nonce in the database, the same one each time. Nonce and secret reveal it only together. */
export function deriveKey(role: Role, secret: string, nonce: Buffer): string {
  // 40 bytes for 178 bits: the bias of the remainder is below 2^-140.
  let number = BigInt(
    `0x${Buffer.from(hkdfSync('sha256', secret, nonce, `stowage key: ${role}`, 40)).toString('hex')}`,
  );
  let random = '';
  for (let i = 0; i < KEY_RANDOM_LENGTH; i++) {
    random += KEY_ALPHABET.charAt(Number(number % BigInt(KEY_ALPHABET.length)));
    number /= BigInt(KEY_ALPHABET.length);
  }
  return withChecksum(`stw_${role}_${random}`);
}

/** Returns the part of a key that may be shown: enough to distinguish keys, too little to guess one. */
export function prefixOf(key: string): string {
  return isGeneratedKeyFormat(key) ? key.slice(0, key.lastIndexOf('_') + 5) : '(from a setting)';
}

/** Returns the keyed hash that is stored. Keys are long and random, so one round of HMAC is enough. */
export function hashOf(key: string, secret: string): Buffer {
  return createHmac('sha256', secret).update(key).digest();
}

import { createHmac, hkdfSync, randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Role } from '#http';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 62^30 keys, 178 bits. */
const RANDOM_LENGTH = 30;
const CHECKSUM_LENGTH = 6;
const SHAPE = new RegExp(`^stw_[a-z]+_[0-9A-Za-z]{${String(RANDOM_LENGTH + CHECKSUM_LENGTH)}}$`);

/** Returns `stw_<role>_<random><checksum>`. Secret scanners recognize the prefix; the checksum rejects typing errors without a query. */
export function makeKey(role: Role): string {
  const random = Array.from({ length: RANDOM_LENGTH }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('');
  return withChecksum(`stw_${role}_${random}`);
}

/** Derives a key from a nonce in the database, the same one each time. Nonce and secret reveal it only together. */
export function deriveKey(role: Role, secret: string, nonce: Buffer): string {
  // 40 bytes for 178 bits: the bias of the remainder is below 2^-140.
  let number = BigInt(
    `0x${Buffer.from(hkdfSync('sha256', secret, nonce, `stowage key: ${role}`, 40)).toString('hex')}`,
  );
  let random = '';
  for (let i = 0; i < RANDOM_LENGTH; i++) {
    random += ALPHABET.charAt(Number(number % BigInt(ALPHABET.length)));
    number /= BigInt(ALPHABET.length);
  }
  return withChecksum(`stw_${role}_${random}`);
}

function withChecksum(start: string): string {
  return start + checksumOf(start);
}

/** Returns false for a key of our format with a wrong checksum. A key from a setting may have any format. */
export function mayBeKey(text: string): boolean {
  if (text.length > 1024) return false;
  return !SHAPE.test(text) || text.endsWith(checksumOf(text.slice(0, -CHECKSUM_LENGTH)));
}

/** Returns the part of a key that may be shown: enough to distinguish keys, too little to guess one. */
export function prefixOf(key: string): string {
  return SHAPE.test(key) ? key.slice(0, key.lastIndexOf('_') + 5) : '(from a setting)';
}

/** Returns the keyed hash that is stored. Keys are long and random, so one round of HMAC is enough. */
export function hashOf(key: string, secret: string): Buffer {
  return createHmac('sha256', secret).update(key).digest();
}

function checksumOf(text: string): string {
  let rest = crc32(text);
  let checksum = '';
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    checksum = ALPHABET.charAt(rest % ALPHABET.length) + checksum;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return checksum;
}

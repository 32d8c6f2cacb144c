import { createHmac, hkdfSync, randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Role } from '#http';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 62^30 keys, 178 bits. */
const RANDOM_LENGTH = 30;
const CHECKSUM_LENGTH = 6;
const SHAPE = new RegExp(`^stw_[a-z]+_[0-9A-Za-z]{${String(RANDOM_LENGTH + CHECKSUM_LENGTH)}}$`);

/** `stw_<role>_<random><checksum>`: people and secret scanners see what it is, and a typing error costs no look-up. */
export function makeKey(role: Role): string {
  const random = Array.from({ length: RANDOM_LENGTH }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('');
  return withChecksum(`stw_${role}_${random}`);
}

/**
 * The key that belongs to a nonce of the database: the same one each time. Neither the nonce nor the secret reveals it
 * without the other.
 */
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

/** False for a text in the shape of our keys whose checksum is wrong. A key given in a setting may have any shape. */
export function mayBeKey(text: string): boolean {
  if (text.length > 1024) return false;
  return !SHAPE.test(text) || text.endsWith(checksumOf(text.slice(0, -CHECKSUM_LENGTH)));
}

/** What of a key may be shown: enough to tell keys apart, too little to guess one. */
export function prefixOf(key: string): string {
  return SHAPE.test(key) ? key.slice(0, key.lastIndexOf('_') + 5) : '(from a setting)';
}

/** Only this is stored. The keys are random and long, so one round of HMAC is enough; without the secret it says nothing. */
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

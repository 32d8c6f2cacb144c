import { crc32 } from 'node:zlib';

export const KEY_ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 62^30 keys, 178 bits. */
export const KEY_RANDOM_LENGTH = 30;
const CHECKSUM_LENGTH = 6;
const GENERATED = new RegExp(`^stw_[a-z]+_[0-9A-Za-z]{${String(KEY_RANDOM_LENGTH + CHECKSUM_LENGTH)}}$`);
/** Visible ASCII: other characters cannot be sent as `Authorization: Bearer`, or arrive as other bytes. */
const SENDABLE = /^[!-~]{1,1024}$/;

/** Whether the text has the format of generated keys, with any checksum. */
export function isGeneratedKeyFormat(text: string): boolean {
  return GENERATED.test(text);
}

/**
 * Whether the text may be a key: 1 to 1,024 visible ASCII characters and, in the format of generated keys, the right checksum.
 * A key from a setting may have any other format.
 */
export function mayBeKey(text: string): boolean {
  if (!SENDABLE.test(text)) return false;
  return !GENERATED.test(text) || text.endsWith(checksumOf(text.slice(0, -CHECKSUM_LENGTH)));
}

/** Appends the checksum, which rejects typing errors without a query. */
export function withChecksum(start: string): string {
  return start + checksumOf(start);
}

function checksumOf(text: string): string {
  let rest = crc32(text);
  let checksum = '';
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    checksum = KEY_ALPHABET.charAt(rest % KEY_ALPHABET.length) + checksum;
    rest = Math.floor(rest / KEY_ALPHABET.length);
  }
  return checksum;
}

import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import type { DataKey } from './data-key.js';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** The beginning of every sealed value. Text that has it nowhere has no sealed value. */
export const SEALED_PREFIX = '$enc1:';
const SEALED_START = `"${SEALED_PREFIX}`;
/** The id of the data key, and its end. */
const KEY_ID = /^[\w-]{8}:$/;
const KEY_ID_CHARS = 8;

/**
 * Where a value is. A sealed value that is copied to another place does not open. `key` is the text of the key, not its JSON.
 */
export interface ValuePlace {
  projectId: number;
  objectId: string;
  key: string;
}

/**
 * Encrypts the text of a JSON value. The result is the text of a JSON string.
 *
 * The nonce is computed from the place and the value: the same value at the same place has the same text, so that an unchanged object
 * is recognized, and a nonce is used for two texts only by the chance of random ones.
 */
export function sealValue(dataKey: DataKey, place: ValuePlace, valueText: string): string {
  const keys = dataKey.keysOf(place.projectId);
  const aad = bytesOf(place);
  const text = Buffer.from(valueText);
  const nonce = createHmac('sha256', keys.nonce).update(aad).update(text).digest().subarray(0, NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keys.cipher, nonce).setAAD(aad);
  const sealed = Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
  return `"${SEALED_PREFIX}${dataKey.id}:${sealed.toString('base64url')}"`;
}

/**
 * The text of the value that was sealed at this place with one of the keys; null for every other text: a text of a user that looks
 * like a sealed value is none.
 */
export function openValue(dataKeys: readonly DataKey[], place: ValuePlace, valueText: string): string | null {
  const keyId = dataKeyIdOf(valueText);
  const dataKey = dataKeys.find((one) => one.id === keyId);
  if (dataKey === undefined) return null;
  const body = valueText.slice(SEALED_START.length + KEY_ID_CHARS + 1, -1);
  const bytes = Buffer.from(body, 'base64url');
  // The decoder skips other characters.
  if (bytes.length <= NONCE_BYTES + TAG_BYTES || bytes.toString('base64url') !== body) return null;
  const nonce = bytes.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, dataKey.keysOf(place.projectId).cipher, nonce, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(bytesOf(place)).setAuthTag(bytes.subarray(-TAG_BYTES));
  const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return null;
  }
  return text.toString();
}

/**
 * The id of the data key in the JSON text of a sealed value, which is followed by the nonce, the encrypted text and the tag; null for
 * other text. The rest of the text, which may have many megabytes, is no matter for a regular expression: its stack would overflow.
 */
export function dataKeyIdOf(valueText: string): string | null {
  if (!valueText.startsWith(SEALED_START) || !valueText.endsWith('"')) return null;
  const id = valueText.slice(SEALED_START.length, SEALED_START.length + KEY_ID_CHARS + 1);
  return KEY_ID.test(id) ? id.slice(0, -1) : null;
}

/** Different for different places. */
function bytesOf({ projectId, objectId, key }: ValuePlace): Buffer {
  return Buffer.from(JSON.stringify([projectId, objectId, key]));
}

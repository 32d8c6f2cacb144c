import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { DataKey } from './data-key.js';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
/** In base64url, which has no bits of the next bytes then. */
const NONCE_CHARS = 16;
const TAG_BYTES = 16;
/** The tag is as long as GCM makes it. */
const TAGGED = { authTagLength: TAG_BYTES };

/** The beginning of every sealed value. Text that has it nowhere has no sealed value. */
export const SEALED_PREFIX = '$enc1:';
/** The beginning of the JSON text of a sealed value. */
export const SEALED_START = `"${SEALED_PREFIX}`;

/** The id of the data key that the JSON text of a value names. Texts of users may look the same. */
const NAMED_KEY = /^"\$enc1:([\w-]{8}):/;

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
  const aad = textOf(place);
  const nonce = keys.nonce.digest(aad + valueText).slice(0, NONCE_CHARS);
  const cipher = createCipheriv(CIPHER, keys.cipher, Buffer.from(nonce, 'base64url')).setAAD(Buffer.from(aad));
  const encrypted = cipher.update(valueText, 'utf8');
  cipher.final();
  const body = Buffer.concat([encrypted, cipher.getAuthTag()]).toString('base64url');
  return startOf(dataKey) + nonce + body + '"';
}

/**
 * The text of the value that was sealed at this place with one of the keys; null for every other text: a text of a user that looks
 * like a sealed value is none.
 *
 * A process that has not all data keys, and does not know it yet, takes a sealed value for such a text, and may seal it once more. So
 * everything is opened that was sealed.
 */
export function openValue(dataKeys: readonly DataKey[], place: ValuePlace, valueText: string): string | null {
  let opened = openLayer(dataKeys, place, valueText);
  for (let inner = opened; inner !== null; inner = openLayer(dataKeys, place, inner)) opened = inner;
  return opened;
}

function openLayer(dataKeys: readonly DataKey[], place: ValuePlace, valueText: string): string | null {
  const dataKey = dataKeys.find((one) => isSealedWith(one, valueText));
  if (dataKey === undefined) return null;
  const body = valueText.slice(startOf(dataKey).length, -1);
  const bytes = Buffer.from(body, 'base64url');
  // The decoder skips other characters.
  if (bytes.length <= NONCE_BYTES + TAG_BYTES || bytes.toString('base64url') !== body) return null;
  const { cipher } = dataKey.keysOf(place.projectId);
  const decipher = createDecipheriv(CIPHER, cipher, bytes.subarray(0, NONCE_BYTES), TAGGED);
  decipher.setAAD(Buffer.from(textOf(place))).setAuthTag(bytes.subarray(-TAG_BYTES));
  const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return null;
  }
  return text.toString();
}

/**
 * Whether this is how the JSON text of a value begins that is sealed with a data key. The nonce, the encrypted text and the tag follow.
 */
export function isSealedWith(dataKey: DataKey, valueText: string): boolean {
  return valueText.startsWith(startOf(dataKey)) && valueText.endsWith('"');
}

/** Whether the JSON text of a value names a data key that is none of these. */
export function isSealedWithOther(dataKeys: readonly DataKey[], valueText: string): boolean {
  const id = NAMED_KEY.exec(valueText)?.[1];
  return id !== undefined && !dataKeys.some((one) => one.id === id);
}

function startOf({ id }: DataKey): string {
  return `${SEALED_START}${id}:`;
}

/** Different for different places. */
function textOf({ projectId, objectId, key }: ValuePlace): string {
  return JSON.stringify([projectId, objectId, key]);
}

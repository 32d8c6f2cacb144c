import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DataKey } from './data-key.js';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** No text in UTF-8 begins with its first byte. */
const PREFIX = Buffer.from('\xff$enc1:', 'latin1');
const ID_LENGTH = 8;
const HEAD_BYTES = PREFIX.length + ID_LENGTH;

/** The bytes at the beginning of a stored part of a body that show whether it is sealed, and with which data key. */
export const SEALED_HEAD_BYTES = HEAD_BYTES;

/** Bytes that are encrypted at once: about 3 ms. */
const SLICE_BYTES = 4 * 1024 ** 2;

/**
 * A part of the body of a job. The number of the job is not one of them: it may change before the job is accepted. A part that is copied to
 * another project does not open.
 */
export interface BodyPlace {
  projectId: number;
  part: number;
}

/** Encrypts a part of a body. */
export async function sealBodyPart(dataKey: DataKey, place: BodyPlace, bytes: Buffer): Promise<Buffer> {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keyOf(dataKey, place), nonce).setAAD(aadOf(place));
  const sealed = [PREFIX, Buffer.from(dataKey.id, 'latin1'), nonce];
  for await (const slice of slicesOf(bytes)) sealed.push(cipher.update(slice));
  return Buffer.concat([...sealed, cipher.final(), cipher.getAuthTag()]);
}

/** The part that was sealed with one of the keys. Other bytes are what a client has sent, and are returned as they are. */
export async function openBodyPart(dataKeys: readonly DataKey[], place: BodyPlace, bytes: Buffer): Promise<Buffer> {
  const dataKey = dataKeys.find(({ id }) => id === dataKeyIdOfBodyPart(bytes));
  if (dataKey === undefined || bytes.length < HEAD_BYTES + NONCE_BYTES + TAG_BYTES) return bytes;
  const nonce = bytes.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, keyOf(dataKey, place), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(aadOf(place)).setAuthTag(bytes.subarray(-TAG_BYTES));
  const opened: Buffer[] = [];
  for await (const slice of slicesOf(bytes.subarray(HEAD_BYTES + NONCE_BYTES, -TAG_BYTES))) {
    opened.push(decipher.update(slice));
  }
  try {
    return Buffer.concat([...opened, decipher.final()]);
  } catch {
    return bytes;
  }
}

/** The id of the data key in sealed bytes, of which the head is enough; null for other bytes. */
export function dataKeyIdOfBodyPart(bytes: Buffer): string | null {
  if (bytes.length < HEAD_BYTES || !bytes.subarray(0, PREFIX.length).equals(PREFIX)) return null;
  return bytes.toString('latin1', PREFIX.length, HEAD_BYTES);
}

/** Other requests are served in between. */
async function* slicesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
    if (start > 0) await nextTurn();
    yield bytes.subarray(start, start + SLICE_BYTES);
  }
}

function keyOf(dataKey: DataKey, { projectId }: BodyPlace): Buffer {
  return dataKey.derive(`bodies ${String(projectId)}`);
}

function aadOf({ projectId, part }: BodyPlace): Buffer {
  return Buffer.from(JSON.stringify([projectId, part]));
}

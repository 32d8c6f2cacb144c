import { SEQ_STEP, timeOfSeq } from '#database';
import type { CheckedObject } from './batch-source.js';

/**
 * CSV in name only: no id and no JSON text can hold these two control characters, so that a row is written without looking
 * at a character of it. Line breaks between the tokens of `data` are why that is quoted.
 */
export const FORMAT = `(FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')`;
export const SEPARATOR = '\x01';

/** Rows for `copyObjects`, their sequence numbers from `first` on. */
export function objectRows(
  projectId: number,
  batchId: string,
  first: bigint,
  objects: readonly CheckedObject[],
): string {
  let rows = '';
  let seq = first;
  // Neighbours arrive in the same millisecond but for a few.
  let tick = -1n;
  let arrival = '';
  for (const { objectId, subject, observedAt, data } of objects) {
    if (observedAt === null && seq >> 22n !== tick) {
      tick = seq >> 22n;
      arrival = timeOfSeq(seq);
    }
    rows +=
      `${String(projectId)}\x01${batchId}\x01${objectId}\x01${seq.toString()}\x01${subject ?? ''}\x01` +
      `${observedAt ?? arrival}\x01\x02${data}\x02\n`;
    seq += BigInt(SEQ_STEP);
  }
  return rows;
}

/** Rows for `copyStaged`; empty `data` is none, where only the ids matter. */
export function stagedRows(first: bigint, objects: readonly CheckedObject[]): string {
  let rows = '';
  let seq = first;
  for (const { place, objectId, subject, observedAt, data } of objects) {
    const json = data === '' ? '' : `\x02${data}\x02`;
    rows += `${String(place)}\x01${objectId}\x01${seq.toString()}\x01${subject ?? ''}\x01${observedAt ?? ''}\x01${json}\n`;
    seq += BigInt(SEQ_STEP);
  }
  return rows;
}

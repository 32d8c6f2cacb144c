import { SEQ_STEP, timeOfSeq } from '#database';
import { dataBytes } from '#store';
import type { BatchObject } from './batch-object.js';

/**
 * CSV whose delimiter and quote are two control characters that no id and no JSON text can contain, so that rows need no
 * escaping. `data` is quoted because JSON may contain line breaks between its tokens.
 */
export const COPY_FORMAT = `(FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')`;
export const COPY_DELIMITER = '\x01';

/**
 * Rows for COPY into `objects`, and the bytes of their data.
 * @param firstSeq sequence number of the first row; the others follow it
 */
export function objectRows(
  projectId: number,
  batchId: string,
  firstSeq: bigint,
  objects: readonly BatchObject[],
): { rows: string; bytes: number } {
  let rows = '';
  let bytes = 0;
  let seq = firstSeq;
  // Most consecutive objects arrive in the same millisecond, whose text is computed once.
  let millisecond = -1n;
  let receivedAt = '';
  for (const { objectId, subject, observedAt, data } of objects) {
    if (observedAt === null && seq >> 22n !== millisecond) {
      millisecond = seq >> 22n;
      receivedAt = timeOfSeq(seq);
    }
    const size = dataBytes(data);
    bytes += size;
    rows +=
      `${String(projectId)}\x01${batchId}\x01${objectId}\x01${seq.toString()}\x01${subject ?? ''}\x01` +
      `${observedAt ?? receivedAt}\x01\x02${data}\x02\x01${String(size)}\n`;
    seq += BigInt(SEQ_STEP);
  }
  return { rows, bytes };
}

/** Rows for COPY into `staged`, and the bytes of their data. Empty `data` becomes NULL, for objects whose ids alone are compared. */
export function stagedRows(firstSeq: bigint, objects: readonly BatchObject[]): { rows: string; bytes: number } {
  let rows = '';
  let bytes = 0;
  let seq = firstSeq;
  for (const { position, objectId, subject, observedAt, data } of objects) {
    const json = data === '' ? '' : `\x02${data}\x02`;
    const size = dataBytes(data);
    bytes += size;
    rows +=
      `${String(position)}\x01${objectId}\x01${seq.toString()}\x01${subject ?? ''}\x01${observedAt ?? ''}\x01` +
      `${json}\x01${String(size)}\n`;
    seq += BigInt(SEQ_STEP);
  }
  return { rows, bytes };
}

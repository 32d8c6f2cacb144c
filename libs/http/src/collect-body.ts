import type { Readable } from 'node:stream';
import type { Reservation } from '#platform';
import { bodyTooLarge, type BodyLimit } from './body-limit.js';
import { outOfMemory } from './request-memory.js';

/**
 * Reads a body into memory, up to the limit. `done` is called once.
 * @param memory the bytes reserved for it; more are reserved as they arrive, and those that were not needed given back
 */
export function collectBody(
  stream: Readable,
  limit: BodyLimit,
  memory: Reservation | undefined,
  done: (error: Error | null, bytes?: Buffer) => void,
): void {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const finish = (error: Error | null): void => {
    stream.off('data', add).off('end', end).off('error', finish);
    memory?.shrinkTo(error === null ? sizeBytes : 0);
    // Concatenated also where it is one chunk, which is a view of a larger buffer.
    if (error === null) done(null, Buffer.concat(chunks, sizeBytes));
    else done(error);
  };
  const add = (chunk: Buffer): void => {
    sizeBytes += chunk.length;
    if (sizeBytes > limit.bytes) finish(bodyTooLarge(limit));
    else if (memory !== undefined && !hasRoom(memory)) finish(outOfMemory());
    else chunks.push(chunk);
  };
  /** Doubles the reservation, because one for each chunk would be thousands. */
  const hasRoom = (reserved: Reservation): boolean => {
    const missing = sizeBytes - reserved.bytes;
    if (missing <= 0) return true;
    return (
      reserved.grow(Math.max(missing, Math.min(reserved.bytes, limit.bytes - reserved.bytes))) || reserved.grow(missing)
    );
  };
  const end = (): void => {
    finish(null);
  };
  stream.on('data', add).on('end', end).on('error', finish);
}

import type { Readable } from 'node:stream';
import { bodyTooLarge, type BodyLimit } from './body-limit.js';
import { outOfMemory, type BodyMemory } from './request-memory.js';

/**
 * Reads a body into memory, up to the limit. It stops reading while it waits for memory. `done` is called once.
 * @param declaredBytes the size of the body, where it is known: then it is copied as it arrives, and not at once at the end
 */
export function collectBody(
  stream: Readable,
  limit: BodyLimit,
  memory: BodyMemory,
  declaredBytes: number | undefined,
  done: (error: Error | null, bytes?: Buffer) => void,
): void {
  // The system provides its pages only when they are written.
  const whole = declaredBytes === undefined ? null : Buffer.allocUnsafeSlow(declaredBytes);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const finish = (error: Error | null): void => {
    stream.off('data', add).off('end', end).off('error', finish);
    memory.end(error === null ? sizeBytes : 0);
    // Concatenated also where it is one chunk, which is a view of a larger buffer.
    if (error === null) done(null, whole?.subarray(0, sizeBytes) ?? Buffer.concat(chunks, sizeBytes));
    else done(error);
  };
  const add = (chunk: Buffer): void => {
    if (whole === null) chunks.push(chunk);
    else chunk.copy(whole, sizeBytes);
    sizeBytes += chunk.length;
    if (sizeBytes > limit.bytes) finish(bodyTooLarge(limit));
    else if (!memory.hold(sizeBytes)) waitForMemory();
  };
  const waitForMemory = (): void => {
    stream.pause();
    memory.wait(sizeBytes, (isHeld) => {
      if (isHeld) stream.resume();
      else finish(outOfMemory());
    });
  };
  const end = (): void => {
    finish(null);
  };
  stream.on('data', add).on('end', end).on('error', finish);
}

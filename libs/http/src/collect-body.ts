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
  /** Allocated when memory is held for it, so that a client that only declares a size costs nothing. */
  let whole: Buffer | null = null;
  let copiedBytes = 0;
  /** What has not been copied. */
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const copy = (size: number): void => {
    // The system provides its pages only when they are written.
    whole ??= Buffer.allocUnsafeSlow(size);
    for (const chunk of chunks.splice(0)) copiedBytes += chunk.copy(whole, copiedBytes);
  };
  const finish = (error: Error | null): void => {
    stream.off('data', add).off('end', end).off('error', finish);
    memory.end(error === null ? sizeBytes : 0);
    if (error !== null) {
      done(error);
      return;
    }
    // A body of unknown size is copied now, also where it is one chunk, which is a view of a larger buffer.
    copy(sizeBytes);
    done(null, whole?.subarray(0, sizeBytes));
  };
  const add = (chunk: Buffer): void => {
    chunks.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes > limit.bytes) finish(bodyTooLarge(limit));
    else if (!memory.hold(sizeBytes)) waitForMemory();
    else if (declaredBytes !== undefined) copy(declaredBytes);
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

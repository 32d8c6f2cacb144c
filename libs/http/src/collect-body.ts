import type { Readable } from 'node:stream';
import { bodyTooLarge, type BodyLimit } from './body-limit.js';

/** Reads a body into memory, up to the limit. `done` is called once. */
export function collectBody(
  stream: Readable,
  limit: BodyLimit,
  done: (error: Error | null, bytes?: Buffer) => void,
): void {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const finish = (error: Error | null): void => {
    stream.off('data', add).off('end', end).off('error', finish);
    // Concatenated also where it is one chunk, which is a view of a larger buffer.
    if (error === null) done(null, Buffer.concat(chunks, sizeBytes));
    else done(error);
  };
  const add = (chunk: Buffer): void => {
    sizeBytes += chunk.length;
    if (sizeBytes > limit.bytes) finish(bodyTooLarge(limit));
    else chunks.push(chunk);
  };
  const end = (): void => {
    finish(null);
  };
  stream.on('data', add).on('end', end).on('error', finish);
}

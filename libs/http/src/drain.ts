import type { Readable } from 'node:stream';

/**
 * Reads and discards the rest of a request body. Closing a connection on which the client still sends resets it, and the
 * response is lost. `BodyPace` ends bodies that never finish.
 */
export function drain(raw: Readable): void {
  raw.unpipe();
  raw.removeAllListeners('data');
  raw.resume();
}

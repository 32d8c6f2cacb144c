import type { Readable } from 'node:stream';

/**
 * Reads and drops what is left of a request, whoever was reading it: closed under a client that still sends, the
 * connection is reset, and the answer is lost with it. `BodyPace` is the end of one that never stops.
 */
export function drain(raw: Readable): void {
  raw.unpipe();
  raw.removeAllListeners('data');
  raw.resume();
}

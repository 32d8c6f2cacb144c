import type { Readable } from 'node:stream';

/**
 * Reads and drops what is left of a request, whoever was reading it: closed under a client that still sends, the
 * connection is reset, and the answer is lost with it. `BodyPace` is the end of one that never stops.
 */
export function drain(raw: Readable): void {
  raw.unpipe();
  // A reader that has stopped half-way still listens, and as long as it does, nothing flows.
  // Where nobody does, Node.js would take the removal for a reason to stop what flows already.
  if (raw.listenerCount('readable') > 0) raw.removeAllListeners('readable');
  raw.removeAllListeners('data');
  raw.resume();
}

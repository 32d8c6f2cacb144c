import type { Problem } from './problems.js';

/**
 * Where the bytes of a stream come from: a client, which may be slow; a stream that has arrived; or a job, whose worker limits
 * how many are read at a time.
 */
export type StreamSource = 'client' | 'received' | 'job';

/** A body of newline-delimited JSON that has not been read: its decompressed bytes. */
export class NdjsonBody {
  /**
   * @param bytes can be read once; fails with a Problem for an invalid body, and with any error when the connection is lost
   * @param stop makes reading fail with an error, also while the next bytes are awaited
   */
  constructor(
    readonly bytes: AsyncIterable<Buffer>,
    readonly source: StreamSource,
    readonly stop: (error: Problem) => void = () => undefined,
  ) {}
}

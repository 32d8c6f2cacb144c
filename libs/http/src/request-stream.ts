import type { Problem } from './problems.js';

/** The media types of bodies that are read as streams. */
const STREAM_TYPES = ['application/x-ndjson', 'text/csv'] as const;
export type StreamType = (typeof STREAM_TYPES)[number];

export function isStreamType(mediaType: string): mediaType is StreamType {
  return (STREAM_TYPES as readonly string[]).includes(mediaType);
}

/**
 * Where the bytes of a stream come from: a client, which may be slow; a stream that has arrived; or a job, whose worker limits
 * how many are read at a time.
 */
export type StreamSource = 'client' | 'received' | 'job';

/** A body of one object per line or row that has not been read: its decompressed bytes. */
export class RequestStream {
  /**
   * @param bytes can be read once; fails with a Problem for an invalid body, and with any error when the connection is lost
   * @param stop makes reading fail with an error, also while the next bytes are awaited
   */
  constructor(
    readonly mediaType: StreamType,
    readonly bytes: AsyncIterable<Buffer>,
    readonly source: StreamSource,
    readonly stop: (error: Problem) => void = () => undefined,
  ) {}
}

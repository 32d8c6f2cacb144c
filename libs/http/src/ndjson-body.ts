/** A body of newline-delimited JSON that has not been read: its decompressed bytes. */
export class NdjsonBody {
  /** @param bytes can be read once; fails with a Problem for an invalid body, and with any error when the connection is lost */
  constructor(
    readonly bytes: AsyncIterable<Buffer>,
    /** Whether the whole body is stored, so that reading it does not wait for the client. */
    readonly isStored = false,
  ) {}
}

/** A request's body of newline-delimited JSON, not read yet: its bytes as they come, after inflating. */
export class NdjsonBody {
  /** @param bytes can be read once; throws a Problem when the body breaks a limit, and any error when it breaks off */
  constructor(
    readonly bytes: AsyncIterable<Buffer>,
    /** It is all there already, so that reading it waits for nobody. */
    readonly isKept = false,
  ) {}
}

/** Bytes of a stream that arrived together. */
export interface Arrived {
  chunks: Buffer[];
  sizeBytes: number;
  /** Whether the stream ends after them. */
  isEnd: boolean;
}

/** Reads a stream with limits of time. Where a limit has passed, the same bytes can be awaited again. */
export class StreamReader {
  private readonly iterator: AsyncIterator<Buffer>;
  private awaited: Promise<IteratorResult<Buffer, unknown>> | undefined;

  constructor(bytes: AsyncIterable<Buffer>) {
    this.iterator = bytes[Symbol.asyncIterator]();
  }

  /**
   * The next bytes; null at the end; 'late' if none arrive in time.
   * @param withinMs default: without a limit
   * @throws the error of the stream
   */
  async next(withinMs = Infinity): Promise<Buffer | null | 'late'> {
    if (this.awaited === undefined) {
      this.awaited = this.iterator.next();
      // The stream may fail after the time has passed, when nothing awaits it.
      this.awaited.catch(() => undefined);
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      if (withinMs !== Infinity) timer = setTimeout(resolve, withinMs, 'late');
    });
    try {
      const result = await Promise.race([this.awaited, late]);
      if (result === 'late') return 'late';
      this.awaited = undefined;
      return result.done === true ? null : result.value;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Reads until at least `sizeBytes` have arrived, the stream ends, or the time has passed.
   * @param withinMs default: without a limit
   * @throws the error of the stream
   */
  async fill(sizeBytes: number, withinMs = Infinity): Promise<Arrived> {
    const arrived: Arrived = { chunks: [], sizeBytes: 0, isEnd: false };
    const until = performance.now() + withinMs;
    while (arrived.sizeBytes < sizeBytes) {
      const bytes = await this.next(until - performance.now());
      if (bytes === 'late') break;
      if (bytes === null) {
        arrived.isEnd = true;
        break;
      }
      arrived.chunks.push(bytes);
      arrived.sizeBytes += bytes.length;
    }
    return arrived;
  }
}

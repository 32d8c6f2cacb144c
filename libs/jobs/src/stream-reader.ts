/** Bytes of a stream that are in memory. */
export interface ReceivedBytes {
  blocks: Buffer[];
  sizeBytes: number;
  /** Whether the stream ends after them. */
  isEnd: boolean;
}

const BLOCK_BYTES = 16 * 1024;

/** Reads a stream with limits of time. Where a limit has passed, the same bytes can be awaited again. */
export class StreamReader {
  private readonly iterator: AsyncIterator<Buffer>;
  private awaited: Promise<IteratorResult<Buffer, unknown>> | undefined;
  private copies = new ByteCopies();
  /** Whether all bytes have arrived. */
  isEnd = false;
  /** By `performance.now()`: until then the stream was read, or had not begun. */
  private readUntilMs = performance.now();

  constructor(bytes: AsyncIterable<Buffer>) {
    this.iterator = bytes[Symbol.asyncIterator]();
  }

  /**
   * The next bytes; null at the end; 'late' if none arrive in time.
   * @throws the error of the stream
   */
  async next(withinMs: number): Promise<Buffer | null | 'late'> {
    if (this.awaited === undefined) {
      this.awaited = this.iterator.next();
      // The stream may fail after the time has passed, when nothing awaits it.
      this.awaited.catch(() => undefined);
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, withinMs, 'late');
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
   * Reads until at least `sizeBytes` have arrived that were not taken, the stream ends, or the time has passed. The bytes are
   * copied, because a client may send them one by one, and each would keep a buffer of its own.
   * @returns the time in which they arrived, from the end of the call before; what arrives while nothing is read waits at the client
   * @throws the error of the stream
   */
  async fill(sizeBytes: number, withinMs: number): Promise<number> {
    const until = performance.now() + withinMs;
    while (!this.isEnd && this.copies.sizeBytes < sizeBytes) {
      const bytes = await this.next(until - performance.now());
      if (bytes === 'late') break;
      if (bytes === null) this.isEnd = true;
      else this.copies.add(bytes);
    }
    const sinceMs = this.readUntilMs;
    this.readUntilMs = performance.now();
    return this.readUntilMs - sinceMs;
  }

  /** Takes the bytes that have arrived. */
  take(): ReceivedBytes {
    const { blocks, sizeBytes } = this.copies;
    this.copies = new ByteCopies();
    return { blocks, sizeBytes, isEnd: this.isEnd };
  }

  /** The bytes that have arrived and were not taken. */
  get sizeBytes(): number {
    return this.copies.sizeBytes;
  }
}

/** Copies of bytes, in blocks. */
class ByteCopies {
  sizeBytes = 0;
  private readonly full: Buffer[] = [];
  private block = Buffer.alloc(0);
  private used = 0;

  add(bytes: Buffer): void {
    this.sizeBytes += bytes.length;
    for (let start = 0; start < bytes.length;) {
      if (this.used === this.block.length) this.addBlock();
      const copied = bytes.copy(this.block, this.used, start);
      this.used += copied;
      start += copied;
    }
  }

  get blocks(): Buffer[] {
    return this.used === 0 ? this.full : [...this.full, this.block.subarray(0, this.used)];
  }

  private addBlock(): void {
    if (this.used > 0) this.full.push(this.block);
    this.block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.used = 0;
  }
}

import { pipeline, Readable } from 'node:stream';
import { constants, createGunzip, gunzipSync } from 'node:zlib';
import { reasonOf, SourceError, type LoadSource } from './load-source.js';

const LINE_FEED = 10;
/** Longer than the longest signature below. A first line of an export begins with two ids, of at most 3 KiB each as JSON. */
const HEAD_BYTES = 8 * 1024;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** Compression is detected by the first bytes: a file named .gz may have been decompressed by a download. */
const COMPRESSIONS = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
] as const;
/** A compression that the server accepts. */
export type Encoding = (typeof COMPRESSIONS)[number][0];

/** The bytes of a source and their compression. */
export class OpenedSource {
  /** The bytes from the beginning, without a byte order mark. */
  readonly bytes: Readable;
  bytesRead = 0;
  /** Line feeds read. */
  linesRead = 0;

  private constructor(
    private readonly stream: Readable,
    private readonly head: Buffer,
    chunks: AsyncGenerator<Buffer>,
    readonly encoding: Encoding | undefined,
  ) {
    this.bytes = Readable.from(this.count(head, chunks), { objectMode: false });
    // The consumer gets the error too. Without a listener it would end the process when there is no consumer.
    this.bytes.on('error', () => undefined);
  }

  static async open(source: LoadSource, signal: AbortSignal): Promise<OpenedSource> {
    const stream = await source.open(signal);
    const chunks = readChunks(stream);
    let head = Buffer.alloc(0);
    // Not more than a line: standard input may be a terminal.
    for (let next; !isHead(head) && (next = await chunks.next()).done !== true;)
      head = Buffer.concat([head, next.value]);
    // An empty file is more likely an error of the user than an empty batch.
    if (head.length === 0) throw new SourceError('is empty');
    // JSON must not begin with a byte order mark (RFC 8259, section 8.1), but some editors write one.
    const start = startsWith(head, BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
    return new OpenedSource(
      stream,
      head.subarray(start),
      chunks,
      COMPRESSIONS.find(([, signature]) => startsWith(head, signature))?.[0],
    );
  }

  /** The beginning of the decompressed content; empty where it is compressed with zstd or damaged. */
  get start(): string {
    if (this.encoding === undefined) return this.head.toString();
    if (this.encoding !== 'gzip') return '';
    try {
      return gunzipSync(this.head, { finishFlush: constants.Z_SYNC_FLUSH }).toString();
    } catch {
      return '';
    }
  }

  close(): void {
    // The stream first: `bytes` cannot end while it waits for the stream, for example for a terminal.
    this.stream.destroy();
    this.bytes.destroy();
  }

  private async *count(head: Buffer, chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
    if (head.length > 0) yield this.countChunk(head);
    for await (const chunk of chunks) yield this.countChunk(chunk);
  }

  private countChunk(chunk: Buffer): Buffer {
    this.bytesRead += chunk.length;
    if (this.encoding !== undefined) return chunk;
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, at + 1)) this.linesRead++;
    return chunk;
  }
}

function isHead(bytes: Buffer): boolean {
  return bytes.length >= HEAD_BYTES || bytes.includes(LINE_FEED);
}

/** Decompresses gzip; zstd is returned as it is. Read errors reach the returned stream. */
export function decompress(bytes: Readable, encoding: Encoding | undefined): Readable {
  if (encoding !== 'gzip') return bytes;
  // The consumer gets the error from the returned stream.
  return pipeline(bytes, createGunzip(), () => undefined);
}

/** The content without a byte order mark, which the compressed content may have. @throws SourceError for gzip that is damaged */
export async function* withoutByteOrderMark(content: Readable): AsyncGenerator<Buffer> {
  let isStart = true;
  try {
    for await (const piece of content) {
      const chunk = piece as Buffer;
      yield isStart && startsWith(chunk, BYTE_ORDER_MARK) ? chunk.subarray(BYTE_ORDER_MARK.length) : chunk;
      isStart = false;
    }
  } catch (error) {
    throw toSourceError(error);
  }
}

/** An error that is not a SourceError is one of gunzip. */
export function toSourceError(error: unknown): SourceError {
  return error instanceof SourceError ? error : new SourceError(`is not a valid gzip file: ${reasonOf(error)}`);
}

async function* readChunks(stream: Readable): AsyncGenerator<Buffer, undefined> {
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      // The stream of a download has plain Uint8Arrays; this shares their memory.
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    }
  } catch (error) {
    throw new SourceError(`cannot be read: ${reasonOf(error)}`);
  }
  return undefined;
}

function startsWith(bytes: Buffer, signature: Buffer): boolean {
  return bytes.subarray(0, signature.length).equals(signature);
}

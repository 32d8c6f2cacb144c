import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { reasonOf, SourceError, type LoadSource } from './load-source.js';

/** How many bytes the longest of the marks below has. */
const MARK_BYTES = 4;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** By its first bytes, not by its name: what is named .gz may have been inflated on its way here. */
const COMPRESSED = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
] as const;
/** How bytes are compressed. */
export type Encoding = (typeof COMPRESSED)[number][0];

/** The bytes of a source, and what their beginning says. */
export class OpenedSource {
  /** From the beginning on, as they are. */
  readonly bytes: Readable;
  /** How far they were read. */
  bytesRead = 0;

  private constructor(
    private readonly stream: Readable,
    head: Buffer,
    chunks: AsyncGenerator<Buffer>,
    readonly encoding: Encoding | undefined,
  ) {
    this.bytes = Readable.from(this.follow(head, chunks), { objectMode: false });
    // Whoever still reads hears of it; after that it is nobody's.
    this.bytes.on('error', () => undefined);
  }

  static async open(source: LoadSource, signal: AbortSignal): Promise<OpenedSource> {
    const stream = await source.open(signal);
    const chunks = chunksOf(stream);
    let head = Buffer.alloc(0);
    for (let next; head.length < MARK_BYTES && (next = await chunks.next()).done !== true;)
      head = Buffer.concat([head, next.value]);
    // An empty batch would be there to stay, and nobody writes a file to say that there is nothing.
    if (head.length === 0) throw new SourceError('is empty');
    // Some editors put one first; JSON on the wire must have none (RFC 8259, section 8.1).
    const start = startsWith(head, BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
    return new OpenedSource(
      stream,
      head.subarray(start),
      chunks,
      COMPRESSED.find(([, mark]) => startsWith(head, mark))?.[0],
    );
  }

  close(): void {
    // First: what is made of it cannot be ended while it waits for it, such as for a terminal.
    this.stream.destroy();
    this.bytes.destroy();
  }

  private async *follow(head: Buffer, chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
    this.bytesRead = head.length;
    if (head.length > 0) yield head;
    for await (const chunk of chunks) {
      this.bytesRead += chunk.length;
      yield chunk;
    }
  }
}

/** What bytes hold, of gzip inflated; zstd stays as it is. Who reads it meets what the bytes met. */
export function inflated(bytes: Readable, encoding: Encoding | undefined): Readable {
  if (encoding !== 'gzip') return bytes;
  const content = bytes.pipe(createGunzip());
  // pipe() does not hand errors on.
  bytes.once('error', (error) => content.destroy(error));
  return content;
}

async function* chunksOf(stream: Readable): AsyncGenerator<Buffer, undefined> {
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      // The same bytes, not a copy: what comes from fetch is no Buffer.
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    }
  } catch (error) {
    throw new SourceError(`cannot be read: ${reasonOf(error)}`);
  }
  return undefined;
}

function startsWith(bytes: Buffer, mark: Buffer): boolean {
  return bytes.subarray(0, mark.length).equals(mark);
}

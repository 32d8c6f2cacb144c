import { Duplex, finished, Transform, type Readable, type TransformCallback } from 'node:stream';
import { createGunzip, type Gunzip } from 'node:zlib';
import { nextTurn } from '#platform';
import { CorruptZstd, ZstdFrames } from '#zstd';
import { bodyTooLarge, type BodyLimit } from './body-limit.js';
import { Problem } from './problems.js';

export type Encoding = 'gzip' | 'zstd' | 'identity';

/**
 * Beyond `ratioFreeBytes` a body may decompress to at most so many times its size. Measured batches of 2 to 40 MB decompress to
 * 15 to 90 times their size in gzip and 15 to 160 in zstd; objects that differ in nothing but their ids to 172 in gzip.
 * Decompression bombs reach 1,000 times in gzip and 30,000 in zstd.
 */
const RATIO_MAX = 200;
/** How many blocks of 128 KiB are decoded before the event loop gets a turn. */
const BLOCKS_AT_ONCE = 8;

/** The limits of a compressed body. */
export interface InflateLimit extends BodyLimit {
  /** Up to this size any compression ratio is accepted. */
  ratioFreeBytes: number;
}

/**
 * The decoded bytes of a request body. The stream fails with a Problem when the body is incomplete, invalid or exceeds a limit.
 * When it ends early, it leaves the rest of the request unread.
 */
export function bodyStream(
  raw: Readable,
  encoding: Encoding,
  limit: InflateLimit,
  projectId: number | null,
): BodyStream {
  const decoder = decoderOf(encoding, projectId);
  const body = new BodyStream(encoding, limit, decoder);
  const first = decoder ?? body;
  decoder?.on('error', (error: NodeJS.ErrnoException) => {
    const isInput = error instanceof CorruptZstd || error.code?.startsWith('Z_') === true;
    body.destroy(isInput ? invalid(encoding, error) : error);
  });
  raw.on('data', (chunk: Buffer) => {
    body.encodedBytes += chunk.length;
    // Compressed data can go on without end and decompress to nothing.
    if (decoder !== undefined && body.encodedBytes > limit.bytes) body.destroy(bodyTooLarge(limit));
  });
  // `discardRest` unpipes the request.
  first.on('unpipe', () => {
    if (!first.destroyed && !first.writableEnded) body.destroy();
  });
  finished(raw, { writable: false }, (error) => {
    if (error != null) body.destroy(error);
  });
  // Without a listener, an error before the first read would end the process. Later readers get the error.
  body.on('error', () => undefined);
  body.on('close', () => {
    raw.unpipe(first);
    decoder?.destroy();
  });
  raw.pipe(first);
  decoder?.pipe(body);
  return body;
}

/** Counts the bytes before and after decompression. */
export class BodyStream extends Transform {
  /** Received bytes, before decompression. */
  encodedBytes = 0;
  private inflatedBytes = 0;

  constructor(
    private readonly encoding: Encoding,
    private readonly limit: InflateLimit,
    private readonly decoder: { bytesWritten: number } | undefined,
  ) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.inflatedBytes += chunk.length;
    const problem = this.decoder === undefined ? undefined : this.overLimit(this.decoder.bytesWritten);
    if (problem === undefined) done(null, chunk);
    else done(problem);
  }

  /** Node.js ignores everything after the first zero byte that follows gzip data. */
  override _flush(done: TransformCallback): void {
    const { decoder, encodedBytes } = this;
    done(decoder !== undefined && decoder.bytesWritten < encodedBytes ? invalid(this.encoding) : null);
  }

  private overLimit(encodedBytes: number): Problem | undefined {
    const { bytes, ratioFreeBytes } = this.limit;
    if (this.inflatedBytes > bytes) return bodyTooLarge(this.limit);
    if (this.inflatedBytes > ratioFreeBytes && this.inflatedBytes > encodedBytes * RATIO_MAX) {
      return new Problem('too-large', {
        detail: `The body decompresses to more than ${String(RATIO_MAX)} times its size; send it uncompressed.`,
      });
    }
    return undefined;
  }
}

function decoderOf(encoding: Encoding, projectId: number | null): Gunzip | ZstdDecoder | undefined {
  if (encoding === 'identity') return undefined;
  return encoding === 'gzip' ? createGunzip({ chunkSize: 64 * 1024 }) : new ZstdDecoder(projectId);
}

/** A Zstandard decoder as a stream that decodes a block when its reader has room. */
class ZstdDecoder extends Duplex {
  /** Bytes consumed, as in the streams of node:zlib. */
  bytesWritten = 0;
  private readonly frames = new ZstdFrames();
  private resumed: (() => void) | undefined;

  constructor(private readonly projectId: number | null) {
    super();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.bytesWritten += chunk.length;
    this.pass(this.frames.push(chunk), done);
  }

  override _read(): void {
    const { resumed } = this;
    this.resumed = undefined;
    resumed?.();
  }

  override _final(done: (error?: Error) => void): void {
    try {
      this.frames.end();
    } catch (error) {
      done(error as Error);
      return;
    }
    this.push(null);
    done();
  }

  private pass(blocks: Iterator<Buffer>, done: (error?: Error) => void): void {
    const passMore = (): void => {
      if (!this.destroyed) this.pass(blocks, done);
    };
    try {
      for (let i = 0; i < BLOCKS_AT_ONCE; i++) {
        const next = blocks.next();
        if (next.done === true) {
          done();
          return;
        }
        if (!this.push(next.value)) {
          this.resumed = passMore;
          return;
        }
      }
    } catch (error) {
      done(error as Error);
      return;
    }
    void nextTurn(this.projectId).then(passMore);
  }
}

function invalid(encoding: Encoding, cause?: unknown): Problem {
  return new Problem('malformed-request', { detail: `The body is not valid ${encoding}.`, cause });
}

import { Duplex, finished, Transform, type Readable, type TransformCallback } from 'node:stream';
import { createGunzip, type Gunzip } from 'node:zlib';
import { CorruptZstd, ZstdFrames } from '#zstd';
import { Problem } from './problems.js';

export type Encoding = 'gzip' | 'zstd' | 'identity';

/** Up to this size any compression ratio is accepted: very regular data is legal, and this much is harmless. */
const RATIO_FREE_BYTES = 64 * 1024 * 1024;
/** NDJSON decompresses to 10 to 40 times its size, a decompression bomb to thousands. */
const RATIO_MAX = 200;
/** How many blocks of 128 KiB are decoded before the event loop gets a turn. */
const BLOCKS_AT_ONCE = 8;

interface BodyLimit {
  /** The largest body after decompression. */
  bytes: number;
  /** The name of the setting, for the error. */
  setting: string;
}

/**
 * The decoded bytes of a request body. The stream fails with a Problem when the body is incomplete, invalid or over a limit.
 * When it ends early, the rest of the request is read and discarded, so that the connection can be reused.
 */
export function bodyStream(raw: Readable, encoding: Encoding, limit: BodyLimit): BodyStream {
  const decoder = decoderOf(encoding);
  const body = new BodyStream(encoding, limit, decoder);
  const first = decoder ?? body;
  decoder?.on('error', (error: NodeJS.ErrnoException) => {
    const isInput = error instanceof CorruptZstd || error.code?.startsWith('Z_') === true;
    body.destroy(isInput ? invalid(encoding, error) : error);
  });
  raw.on('data', (chunk: Buffer) => {
    body.receivedEncodedLength += chunk.length;
  });
  // `drain` unpipes the request.
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
    raw.resume();
  });
  raw.pipe(first);
  decoder?.pipe(body);
  return body;
}

/** Counts the bytes before and after decompression. */
export class BodyStream extends Transform {
  /** Received bytes, before decompression; Fastify compares them with Content-Length. */
  receivedEncodedLength = 0;
  private inflated = 0;

  constructor(
    private readonly encoding: Encoding,
    private readonly limit: BodyLimit,
    private readonly decoder: { bytesWritten: number } | undefined,
  ) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.inflated += chunk.length;
    const problem = this.decoder === undefined ? undefined : this.overLimit(this.decoder.bytesWritten);
    if (problem === undefined) done(null, chunk);
    else done(problem);
  }

  /** Node.js ignores everything after the first zero byte that follows gzip data. */
  override _flush(done: TransformCallback): void {
    const { decoder, receivedEncodedLength } = this;
    done(decoder !== undefined && decoder.bytesWritten < receivedEncodedLength ? invalid(this.encoding) : null);
  }

  private overLimit(encodedBytes: number): Problem | undefined {
    const { bytes, setting } = this.limit;
    if (this.inflated > bytes) {
      return new Problem('too-large', {
        detail: `The decompressed body is over ${setting}, ${String(bytes)} bytes; see /api/v1/limits.`,
      });
    }
    if (this.inflated > RATIO_FREE_BYTES && this.inflated > encodedBytes * RATIO_MAX) {
      return new Problem('too-large', {
        detail: `The body decompresses to more than ${String(RATIO_MAX)} times its size; send it uncompressed.`,
      });
    }
    return undefined;
  }
}

function decoderOf(encoding: Encoding): Gunzip | ZstdDecoder | undefined {
  if (encoding === 'identity') return undefined;
  return encoding === 'gzip' ? createGunzip({ chunkSize: 64 * 1024 }) : new ZstdDecoder();
}

/** A Zstandard decoder as a stream that decodes a block when its reader has room. */
class ZstdDecoder extends Duplex {
  /** Bytes consumed, as in the streams of node:zlib. */
  bytesWritten = 0;
  private readonly frames = new ZstdFrames();
  private resumed: (() => void) | undefined;

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
    setImmediate(passMore);
  }
}

function invalid(encoding: Encoding, cause?: unknown): Problem {
  return new Problem('malformed-request', { detail: `The body is not valid ${encoding}.`, cause });
}

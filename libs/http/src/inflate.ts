import { Duplex, finished, Transform, type Readable, type TransformCallback } from 'node:stream';
import { createGunzip, type Gunzip } from 'node:zlib';
import { CorruptZstd, ZstdFrames } from '#zstd';
import { Problem } from './problems.js';

export type Encoding = 'gzip' | 'zstd' | 'identity';

/** Up to so many bytes any ratio is good; data as even as that is legal, and no harm yet. */
const RATIO_FREE_BYTES = 64 * 1024 * 1024;
/** NDJSON inflates to 10 to 40 times its size, a bomb to thousands. */
const RATIO_MAX = 200;
/** Blocks of 128 KiB that are decoded before other requests are served. */
const BLOCKS_AT_ONCE = 8;

interface BodyLimit {
  /** How large an encoded body may be after inflating. */
  bytes: number;
  /** The setting that says so. */
  setting: string;
}

/**
 * What arrives of a body, inflated where it is encoded. It fails with a Problem when it is not whole, not valid or over a
 * limit; whenever it ends, what is left of the request is read and dropped. The connection stays as it is.
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
  // Whoever drains the request takes it away from here.
  first.on('unpipe', () => {
    if (!first.destroyed && !first.writableEnded) body.destroy();
  });
  finished(raw, { writable: false }, (error) => {
    if (error != null) body.destroy(error);
  });
  // A body that fails before anybody reads it is no fault of the process; who reads it later is told.
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

/** Counts what came, and what it has become. */
export class BodyStream extends Transform {
  /** Bytes that came, before inflating; Fastify compares it with Content-Length. */
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

  /** Node.js ends gzip at the first zero byte after it, and looks at nothing that follows. */
  override _flush(done: TransformCallback): void {
    const { decoder, receivedEncodedLength } = this;
    done(decoder !== undefined && decoder.bytesWritten < receivedEncodedLength ? invalid(this.encoding) : null);
  }

  private overLimit(encodedBytes: number): Problem | undefined {
    const { bytes, setting } = this.limit;
    if (this.inflated > bytes) {
      return new Problem('too-large', {
        detail: `After inflating, the body is over ${setting}, ${String(bytes)} bytes; see /api/v1/limits.`,
      });
    }
    if (this.inflated > RATIO_FREE_BYTES && this.inflated > encodedBytes * RATIO_MAX) {
      return new Problem('too-large', { detail: `The body inflates to over ${String(RATIO_MAX)} times its size.` });
    }
    return undefined;
  }
}

function decoderOf(encoding: Encoding): Gunzip | ZstdDecoder | undefined {
  if (encoding === 'identity') return undefined;
  return encoding === 'gzip' ? createGunzip({ chunkSize: 64 * 1024 }) : new ZstdDecoder();
}

/** Zstandard as a stream: a block is decoded when there is room for it. */
class ZstdDecoder extends Duplex {
  /** How many bytes were taken, as node:zlib's streams count them. */
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
    const goOn = (): void => {
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
          this.resumed = goOn;
          return;
        }
      }
    } catch (error) {
      done(error as Error);
      return;
    }
    setImmediate(goOn);
  }
}

function invalid(encoding: Encoding, cause?: unknown): Problem {
  return new Problem('malformed-request', { detail: `The body is not valid ${encoding}.`, cause });
}

import type { Json } from './json.js';
import type { Fetch } from './retry.js';
import type { components, operations } from './schema.js';
import { canShowUploads, sendByXhr } from './xhr.js';

/** An object of a batch. */
export type NewObject = components['schemas']['NewObjectDto'];

/** The objects of a batch, or the bytes of a file: a File, a ReadableStream, a Readable of Node.js. */
export type UploadSource =
  Blob | ReadableStream<Uint8Array> | AsyncIterable<NewObject | Uint8Array> | Iterable<NewObject>;

export interface UploadProgress {
  /** Bytes that were sent, before compression. */
  sentBytes: number;
  /** All bytes, before compression; undefined while they are not known. */
  totalBytes: number | undefined;
  /** Objects that were sent; undefined for a source of bytes. */
  sentObjects: number | undefined;
}

export interface UploadOptions {
  /** The parameters of `PUT /batches/{batch_id}`, such as `{ query: { on_conflict: 'replace' } }`. */
  params?: Omit<operations['putBatch']['parameters'], 'path'>;
  /** The format of a source of bytes. Default NDJSON; objects are always sent as NDJSON. */
  mediaType?: 'application/x-ndjson' | 'text/csv';
  /** Compress the body. Default false. */
  gzip?: boolean;
  /** Called whenever a part was sent. */
  onProgress?: (progress: UploadProgress) => void;
  signal?: AbortSignal;
}

/** The body of an upload, and how to send it. */
export interface Upload {
  body: Blob | ReadableStream<Uint8Array>;
  send: Fetch;
  /** The error of the source, which `fetch` hides behind an error of its own; undefined without one. */
  sourceError: () => unknown;
}

/** Lines are sent in parts of about this size. */
const CHUNK_BYTES = 64 * 1024;

/**
 * Prepares the body of an upload. Node.js streams it, in constant memory. Browsers do not stream request bodies, or only over
 * HTTP/2: there it is a Blob, which a browser may keep on the disk.
 */
export async function openUpload(
  source: UploadSource,
  { gzip = false, onProgress, signal }: UploadOptions,
  fetch: Fetch,
  json: Json,
): Promise<Upload> {
  const reader = new SourceReader(source, json, signal);
  const totalBytes = source instanceof Blob ? source.size : undefined;
  if (!canShowUploads()) {
    const report = (): void => onProgress?.({ sentBytes: reader.bytes, totalBytes, sentObjects: reader.objects });
    const stream = streamOf(reader.read(), report);
    return { body: gzip ? compress(stream) : stream, send: fetch, sourceError: () => reader.error };
  }
  const body = source instanceof Blob && !gzip ? source : await blobOf(reader, gzip);
  const plainBytes = totalBytes ?? reader.bytes;
  const send = sendByXhr(body, (sent) => {
    onProgress?.({
      sentBytes: Math.round(plainBytes * sent),
      totalBytes: plainBytes,
      sentObjects: reader.objects === undefined ? undefined : Math.round(reader.objects * sent),
    });
  });
  return { body, send, sourceError: () => undefined };
}

/** Reads a source as bytes. */
class SourceReader {
  /** What was read so far. */
  bytes = 0;
  objects: number | undefined;
  error: unknown;

  constructor(
    private readonly source: UploadSource,
    private readonly json: Json,
    private readonly signal: AbortSignal | undefined,
  ) {}

  async *read(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    try {
      for await (const chunk of this.chunks()) {
        this.signal?.throwIfAborted();
        this.bytes += chunk.length;
        yield chunk;
      }
    } catch (error) {
      this.error = error;
      throw error;
    }
  }

  private async *chunks(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const { source } = this;
    if (source instanceof Blob) yield* bytesOf(source.stream());
    else if (source instanceof ReadableStream) yield* bytesOf(source);
    else yield* this.lines(source);
  }

  private async *lines(
    source: AsyncIterable<NewObject | Uint8Array> | Iterable<NewObject>,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const encoder = new TextEncoder();
    let text = '';
    for await (const item of source) {
      if (item instanceof Uint8Array) {
        yield item as Uint8Array<ArrayBuffer>;
        continue;
      }
      text += `${this.json.stringify(item) ?? 'null'}\n`;
      this.objects = (this.objects ?? 0) + 1;
      if (text.length < CHUNK_BYTES) continue;
      yield encoder.encode(text);
      text = '';
    }
    if (text !== '') yield encoder.encode(text);
  }
}

/** Safari cannot iterate over a stream. */
async function* bytesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value as Uint8Array<ArrayBuffer>;
    }
  } finally {
    await reader.cancel();
  }
}

/** @param onSent called when a chunk was taken, which is when the next one is asked for */
function streamOf(
  chunks: AsyncGenerator<Uint8Array<ArrayBuffer>>,
  onSent: () => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream(
    {
      async pull(controller) {
        const next = await chunks.next();
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
        onSent();
      },
      async cancel() {
        await chunks.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

function compress(stream: ReadableStream<Uint8Array<ArrayBuffer>>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return stream.pipeThrough(new CompressionStream('gzip'));
}

async function blobOf(reader: SourceReader, gzip: boolean): Promise<Blob> {
  const stream = streamOf(reader.read(), () => undefined);
  return new Response(gzip ? compress(stream) : stream).blob();
}

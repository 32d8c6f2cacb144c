import { pipeline, Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { addVary, preferredCoding } from './accept.js';
import { isReadRequest } from './route.js';

declare module 'fastify' {
  interface FastifyReply {
    /** How `compressPayload` compresses the response; `negotiateCoding` decides. Null for not at all. */
    contentCoding: ContentCoding | null;
  }
}

type ContentCoding = 'zstd' | 'gzip';

/** Shorter responses fit into one or two packets. */
const COMPRESSED_BYTES_MIN = 1024;
/** Longer responses are compressed as streams, which costs more for each response and does not block. 256 KiB take 1 ms. */
const SYNC_LENGTH_MAX = 256 * 1024;
/** Level 1: 0.1 ms for a page of 10 objects, with everything. The default takes twice as long for 1,000 and saves 6 %. */
const GZIP = { level: 1 };

/** `ZSTD_c_compressionLevel` of zstd's API. */
const ZSTD_COMPRESSION_LEVEL = 100;

/** What `node:zlib` has since Node.js 22.15; its declared types are those of the oldest supported version. */
interface ZstdFunctions {
  createZstdCompress(options: { params: Record<number, number> }): Transform;
  zstdCompressSync(text: string, options: { params: Record<number, number> }): Buffer;
}

interface Compressor {
  compressText(text: string): Buffer;
  createStream(): Transform;
}

const GZIP_COMPRESSOR: Compressor = {
  compressText: (text) => zlib.gzipSync(text, GZIP),
  createStream: () => zlib.createGzip(GZIP),
};

/** The compressors of this Node.js; see docs/decisions/031-zstd-of-responses.md. */
const COMPRESSORS = { zstd: zstdCompressor(zlib as typeof zlib & Partial<ZstdFunctions>), gzip: GZIP_COMPRESSOR };

/** zstd first: it takes half of the processor time of gzip, and an export is 14 % smaller. */
const CODINGS = (['zstd', 'gzip'] as const).filter((coding) => COMPRESSORS[coding] !== undefined);

function zstdCompressor({ createZstdCompress, zstdCompressSync }: Partial<ZstdFunctions>): Compressor | undefined {
  if (createZstdCompress === undefined || zstdCompressSync === undefined) return undefined;
  const options = { params: { [ZSTD_COMPRESSION_LEVEL]: 1 } };
  return {
    compressText: (text) => zstdCompressSync(text, options),
    createStream: () => createZstdCompress(options),
  };
}

const COMPRESSIBLE = /^(?:application\/(?:[\w.-]+\+)?json|application\/x-ndjson|text\/(?!event-stream))/;

/** The end of the entity tag of a compressed form, which no entity tag of a resource has. */
const CODED_TAG_END = /\.(?:zstd|gzip)"/g;

/**
 * Decides whether a response is compressed: a successful read of more than 1 KB whose client accepts zstd or gzip. Responses to writes
 * are not: some contain a key, whose length with chosen text beside it would reveal parts of it (BREACH).
 */
export function negotiateCoding(request: FastifyRequest, reply: FastifyReply, payload: unknown): void {
  reply.contentCoding = isCompressible(request, reply, payload) ? (preferredCoding(request, CODINGS) ?? null) : null;
}

function isCompressible(request: FastifyRequest, reply: FastifyReply, payload: unknown): boolean {
  if (typeof payload === 'string' ? !isLong(payload) : !(payload instanceof Readable)) return false;
  if (!isReadRequest(request) || reply.statusCode !== 200 || reply.hasHeader('content-encoding')) return false;
  if (!COMPRESSIBLE.test(String(reply.getHeader('content-type') ?? ''))) return false;
  addVary(reply, 'Accept-Encoding');
  return true;
}

function isLong(text: string): boolean {
  // No character has more than three bytes for each of its UTF-16 units.
  return (
    text.length >= COMPRESSED_BYTES_MIN ||
    (text.length * 3 >= COMPRESSED_BYTES_MIN && Buffer.byteLength(text) >= COMPRESSED_BYTES_MIN)
  );
}

/**
 * Compresses the payload where `negotiateCoding` decided so. A compressor of a stream holds 0.4 MB for gzip and 0.8 MB for zstd; the
 * slots of large reads and the memory budget bound their number.
 */
export function compressPayload(request: FastifyRequest, reply: FastifyReply, payload: unknown): unknown {
  const coding = reply.contentCoding;
  const compressor = coding === null ? undefined : COMPRESSORS[coding];
  if (compressor === undefined || reply.statusCode === 304) return payload;
  reply.header('Content-Encoding', coding).removeHeader('content-length');
  if (typeof payload === 'string' && payload.length <= SYNC_LENGTH_MAX) return compressor.compressText(payload);
  // Fastify would send the length of the text with the response to HEAD.
  if (request.method === 'HEAD') return Readable.from([]);
  const source = payload instanceof Readable ? payload : Readable.from([payload]);
  return pipeline(source, compressor.createStream(), () => undefined);
}

/** The strong entity tag of the compressed form of a representation, which must differ (RFC 9110, section 8.8.3). */
export function codedTag(etag: string, coding: ContentCoding): string {
  return etag.replace(/"$/, `.${coding}"`);
}

/** A list of entity tags, with those of compressed forms replaced by those of the resources: both name the same state. */
export function withoutCoding(tags: string | undefined): string | undefined {
  return tags?.replaceAll(CODED_TAG_END, '"');
}

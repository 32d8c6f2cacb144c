import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { addVary, etagOf, preferredCoding } from '#http';
import type { FastifyReply, FastifyRequest } from 'fastify';

const compress = promisify(gzip);

/** A cache revalidates a document of this server each time: a new version of the server changes it at the same URL. */
const REVALIDATED = 'public, no-cache';

interface Options {
  cacheControl?: string;
  /** The Content-Security-Policy of a page. */
  policy?: string;
}

interface Representation {
  bytes: Buffer;
  etag: string;
  isCompressed: boolean;
}

/**
 * A document that stays the same while the server runs. It is built and compressed at its first request, and then served
 * from memory.
 */
export class StaticDocument {
  private representations: Promise<{ plain: Representation; compressed: Representation }> | undefined;

  /** @param build called again after a failure */
  constructor(
    /** Its media type, with the charset of a text. */
    readonly type: string,
    private readonly build: () => string | Buffer | Promise<string | Buffer>,
    private readonly options: Options = {},
  ) {}

  async send(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    this.representations ??= this.buildAll().catch((error: unknown) => {
      this.representations = undefined;
      throw error;
    });
    const { plain, compressed } = await this.representations;
    const { bytes, etag, isCompressed } = preferredCoding(request, ['gzip']) === 'gzip' ? compressed : plain;
    if (isCompressed) reply.header('Content-Encoding', 'gzip');
    const { cacheControl = REVALIDATED, policy } = this.options;
    if (policy !== undefined) reply.header('Content-Security-Policy', policy);
    addVary(reply, 'Accept-Encoding');
    return reply.headers({ 'Cache-Control': cacheControl, ETag: etag }).type(this.type).send(bytes);
  }

  private async buildAll(): Promise<{ plain: Representation; compressed: Representation }> {
    const bytes = Buffer.from(await this.build());
    const plain = { bytes, etag: etagOf(bytes), isCompressed: false };
    const gzipped = await compress(bytes, { level: 9 });
    // Images are compressed already.
    if (gzipped.length >= bytes.length) return { plain, compressed: plain };
    return { plain, compressed: { bytes: gzipped, etag: etagOf(gzipped), isCompressed: true } };
  }
}

import { Readable } from 'node:stream';
import { ClientGoneError } from '#database';
import { EncryptedKeys } from '#encryption';
import {
  API,
  ApiProblems,
  ApiResult,
  Http,
  type HttpContext,
  preferredType,
  Problem,
  ProjectId,
  Rules,
  StreamedBody,
  type ReadPace,
} from '#http';
import { filterOf } from '#objects';
import { Controller, Get, Query } from '@nestjs/common';
import { ApiExtension, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { ExportQuery, layoutOf, type ExportFormat } from './export.dto.js';
import { ExportReader } from './export-reader.js';
import type { ExportSource } from './export-source.js';

const MEDIA_TYPES: Readonly<Record<ExportFormat, string>> = {
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  parquet: 'application/vnd.apache.parquet',
};

/** The snapshot of an export keeps deleted rows on the disk, and an export may have gigabytes. Only unread data counts. */
const READ_PACE: ReadPace = { graceMs: 60_000, bytesPerSecond: 256 * 1024 };

const CONTENT_TYPES: Readonly<Record<ExportFormat, string>> = {
  ndjson: `${MEDIA_TYPES.ndjson}; charset=utf-8`,
  csv: `${MEDIA_TYPES.csv}; charset=utf-8; header=present`,
  parquet: MEDIA_TYPES.parquet,
};

const RESPONSE_HEADERS = {
  'Content-Disposition': '`attachment`, with a file name for the format.',
  Trailer: 'Names the trailers that follow the body, except for HTTP/1.0.',
  'Export-Count': 'A trailer: the number of objects.',
  'Export-SHA256':
    'A trailer: the SHA-256 of the content before compression, for NDJSON without the last line, in hexadecimal.',
};

@ApiTags('objects')
@Controller(`${API}/objects/export`)
export class ExportController {
  constructor(
    private readonly reader: ExportReader,
    private readonly encryption: EncryptedKeys,
  ) {}

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true, produces: Object.values(MEDIA_TYPES) })
  @ApiOperation({ summary: 'Export all objects that match the filter, oldest first or sorted' })
  @ApiResult(200, undefined, { otherTypes: Object.values(MEDIA_TYPES), headers: RESPONSE_HEADERS })
  @ApiExtension('x-no-etag', true)
  @ApiProblems('invalid-query', 'uri-too-long', 'insufficient-storage')
  async exportObjects(
    @ProjectId() projectId: number,
    @Query() query: ExportQuery,
    @Http() { request, reply }: HttpContext,
  ): Promise<Readable> {
    const encrypted = this.encryption.unsearchableKeysOf(projectId);
    const filter = filterOf(query, encrypted);
    const layout = layoutOf(query, encrypted);
    const { format } = layout;
    const mediaType = MEDIA_TYPES[format];
    if (preferredType(request, [mediaType]) === undefined) {
      throw new Problem('not-acceptable', { detail: `The format ${format} is available as ${mediaType}.` });
    }
    if (request.method === 'HEAD') {
      setHeaders(reply, format);
      return Readable.from([]);
    }
    // The export has slots of its own.
    request.releaseSlot();
    const source = await this.reader.open(projectId, filter, layout, signalOf(reply));
    // Not before, because the response may be a problem.
    setHeaders(reply, format);
    if (request.raw.httpVersion !== '1.0') addTrailers(reply, source);
    return new StreamedBody(source, READ_PACE);
  }
}

function setHeaders(reply: FastifyReply, format: ExportFormat): void {
  reply.header('Content-Type', CONTENT_TYPES[format]);
  reply.header('Content-Disposition', `attachment; filename="objects.${format}"`);
  reply.header('Cache-Control', 'no-store');
}

/** Aborts when the client leaves. */
function signalOf({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => {
    controller.abort(new ClientGoneError('the client has closed the connection'));
  };
  // A response that is closed already does not emit the event again.
  if (raw.closed) abort();
  else raw.once('close', abort);
  return controller.signal;
}

/** For clients that read trailers: every format has them. */
function addTrailers(reply: FastifyReply, source: ExportSource): void {
  const value = (name: 'count' | 'sha256'): Promise<string> => {
    const { digest } = source;
    if (digest === null) throw new Error('a response that is not complete has no trailers');
    reply.itemCount = digest.count;
    return Promise.resolve(String(digest[name]));
  };
  reply.trailer('Export-Count', () => value('count'));
  reply.trailer('Export-SHA256', () => value('sha256'));
}

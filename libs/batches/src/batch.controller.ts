import type { Readable } from 'node:stream';
import { type Actor, CurrentActor } from '#audit';
import type { Queryable } from '#database';
import { ApiRespondAsync, WriteService } from '#jobs';
import { EncryptedKeys } from '#encryption';
import {
  addVary,
  ApiPreconditions,
  ApiResult,
  API,
  baseUrl,
  etagOf,
  fingerprintOf,
  FlagParameter,
  Http,
  type HttpContext,
  JsonHeader,
  pageHead,
  pageRequest,
  pageText,
  hasPreference,
  preconditionsOf,
  preferredType,
  ApiProblems,
  Queries,
  Rules,
  ProjectId,
  projectIdOf,
  ValidationErrors,
  ApiPage,
} from '#http';
import { Config } from '#platform';
import { Controller, Delete, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import {
  BatchDto,
  BatchListQuery,
  BatchPageDto,
  CreateBatchDto,
  DryRunDto,
  ExistingBatchDto,
  NewBatchDto,
  PartBatchDto,
  PutBatchDto,
  PutBatchQuery,
  WholeBatchDto,
  WriteBatchQuery,
} from './batch.dto.js';
import { BatchOperations } from './batch.operations.js';
import { BatchReader } from './batch-reader.js';
import { BatchReadStore } from './batch-read.store.js';
import { filterOf, NESTED_MEMBERS, ObjectViewQuery, viewOf, WHOLE_VIEW } from '#objects';
import { batchDto, batchEtag, JSON_BATCH, NDJSON_BATCH } from './batch-wire.js';
import { BatchDeleter } from './batch-deleter.js';

/** What PUT takes. */
const PUT_TYPES = ['application/json', 'application/x-ndjson', 'text/csv'];
/** Of a response with a whole batch. */
const MEDIA_TYPES = [JSON_BATCH.mediaType, NDJSON_BATCH.mediaType];

class DeleteBatchQuery {
  @FlagParameter({ description: 'Delete the objects with the batch.', example: true })
  cascade?: boolean;
}

@ApiTags('batches')
@Controller(`${API}/batches`)
export class BatchController {
  constructor(
    private readonly writes: WriteService,
    private readonly operations: BatchOperations,
    private readonly deleter: BatchDeleter,
    private readonly reader: BatchReader,
    private readonly store: BatchReadStore,
    private readonly encryption: EncryptedKeys,
    private readonly config: Config,
  ) {}

  @Post()
  @Rules({
    roles: ['admin', 'producer'],
    consumes: ['application/json'],
    consumedBy: { 'application/x-ndjson': 'PUT /batches/{batch_id}', 'text/csv': 'PUT /batches/{batch_id}' },
    query: true,
  })
  @ApiOperation({ summary: 'Create a batch, all or nothing' })
  @ApiBody({ type: CreateBatchDto })
  @ApiRespondAsync(' `return=representation` returns the whole batch, but not together with an Idempotency-Key.')
  @ApiResult(201, BatchDto, { location: true, etag: true })
  @ApiResult(200, DryRunDto, { description: 'With dry_run=true: what would happen.' })
  @ApiResult(207, PartBatchDto, { description: 'With mode=partial: some of the objects are stored.', location: true })
  @ApiProblems('malformed-request', 'invalid-query', 'invalid-body', 'conflict', 'too-large', 'quota-exceeded')
  async createBatch(@Http() http: HttpContext, @Query() query: WriteBatchQuery): Promise<string | Readable> {
    const { request, reply } = http;
    const text = await this.writes.handle(this.operations.create, http, { query });
    const isPreferred = hasPreference(request.headers.prefer, 'return=representation');
    // The response that is stored for an Idempotency-Key is the short one; RFC 7240 lets a server ignore a preference.
    if (!isPreferred || reply.statusCode !== 201 || request.receipt !== undefined) return text;
    const { batch_id: batchId } = JSON.parse(text) as BatchDto;
    return (await this.representation(http, batchId)) ?? text;
  }

  @Put(':batch_id')
  @Rules({ roles: ['admin', 'producer'], consumes: PUT_TYPES, query: true })
  @ApiOperation({
    summary: 'Create or replace a batch (idempotent)',
    description:
      'The same content again is 200 and changes nothing; other content is 409 unless `on_conflict` is set. A body of the type `application/x-ndjson` has one object per line, one of the type `text/csv` a line of keys and one object per row; both may have any number of lines.',
  })
  @ApiParam({ name: 'batch_id', type: String })
  @ApiConsumes(...PUT_TYPES)
  @ApiBody({ type: PutBatchDto })
  @ApiRespondAsync()
  @ApiPreconditions()
  @ApiResult(201, NewBatchDto, { location: true })
  @ApiResult(200, ExistingBatchDto, {
    description: 'The batch existed: it is unchanged, replaced or extended. With dry_run=true: what would happen.',
  })
  @ApiResult(207, PartBatchDto, { description: 'With mode=partial: some of the objects are stored.', location: true })
  @ApiProblems(
    'malformed-request',
    'invalid-query',
    'invalid-body',
    'conflict',
    'too-large',
    'quota-exceeded',
    'request-timeout',
  )
  putBatch(@Http() http: HttpContext, @Query() query: PutBatchQuery): Promise<string> {
    return this.writes.handle(this.operations.put, http, { query });
  }

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the batches that contain a matching object, newest first' })
  @ApiPage(BatchPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listBatches(
    @ProjectId() projectId: number,
    @Query() query: BatchListQuery,
    @Http() http: HttpContext,
  ): Promise<string | Readable> {
    const filter = filterOf(query, this.encryption.unsearchableKeysOf(projectId));
    if (query.include === undefined) rejectView(query);
    const page = pageRequest(query, this.config, fingerprintOf('batches', projectId, filter), http);
    const { slice, count } = await this.store.list(projectId, filter, page);
    http.reply.itemCount = slice.items.length;
    const base = baseUrl(http.request);
    if (query.include === undefined) {
      return pageText(
        page,
        slice,
        count,
        slice.items.map((row) => JSON.stringify(batchDto(base, row))),
      );
    }
    const opening = pageHead(page, slice, count);
    const shown = JSON.stringify([query.fields, query.data_as]);
    http.reply.header('ETag', etagOf(opening + shown + slice.items.map((row) => row.revision).join()));
    return this.reader.streamPage(projectId, base, opening, slice.items, query);
  }

  @Get(':batch_id')
  @Rules({ roles: ['admin', 'analyst'], query: true, produces: MEDIA_TYPES })
  @ApiOperation({
    summary: 'Get a whole batch as it was sent, in the order sent',
    description:
      'With `Accept: application/x-ndjson` one object a line, as PUT takes them. The ETag for If-Match is that of the whole batch as JSON, without `fields` and `data_as`.',
  })
  @ApiResult(200, WholeBatchDto, { etag: true, otherTypes: [NDJSON_BATCH.mediaType] })
  @ApiProblems('invalid-query', 'not-found')
  async getBatch(
    @ProjectId() projectId: number,
    @Param('batch_id') batchId: string,
    @Query() query: ObjectViewQuery,
    @Queries() on: Queryable,
    @Http() { request, reply }: HttpContext,
  ): Promise<string | Readable> {
    const view = viewOf(query, NESTED_MEMBERS);
    const isNdjson = preferredType(request, MEDIA_TYPES) === NDJSON_BATCH.mediaType;
    const format = isNdjson ? NDJSON_BATCH : JSON_BATCH;
    const { batch, body } = await this.reader.read(projectId, batchId, { view, format, on, request });
    reply.itemCount = Number(batch.object_count);
    const etag = batchEtag(batch.revision);
    // Another representation has another strong ETag (RFC 9110, section 8.8.3).
    const { fields, data_as } = query;
    const isWhole = view === WHOLE_VIEW && !isNdjson;
    reply.header('ETag', isWhole ? etag : etagOf(JSON.stringify([etag, fields, data_as, format.mediaType])));
    // Fastify would add the charset to a text, and not to a stream.
    reply.header('Content-Type', `${format.mediaType}; charset=utf-8`);
    addVary(reply, 'Accept');
    return body;
  }

  @Delete(':batch_id')
  @HttpCode(204)
  @Rules({ roles: ['admin'], query: true })
  @ApiOperation({ summary: 'Delete a batch; with cascade=true, also its objects' })
  @ApiPreconditions()
  @ApiResult(204)
  @ApiProblems('invalid-query', 'not-found', 'batch-not-empty')
  async deleteBatch(
    @ProjectId() projectId: number,
    @Param('batch_id') batchId: string,
    @Query() query: DeleteBatchQuery,
    @CurrentActor() actor: Actor,
    @Http() { request, reply }: HttpContext,
  ): Promise<void> {
    const cascade = query.cascade ?? false;
    const target = [projectId, batchId] as const;
    reply.chargedItems = await this.deleter.delete(target, cascade, preconditionsOf(request), actor);
  }

  /**
   * The batch that was just stored. Null where it was changed or deleted since, because its creator must not read the objects of
   * others, and where it cannot be read, because the write has succeeded in any case.
   */
  private async representation({ request, reply }: HttpContext, batchId: string): Promise<string | Readable | null> {
    try {
      const { batch, body } = await this.reader.read(projectIdOf(request), batchId, { request });
      if (batchEtag(batch.revision) === reply.getHeader('etag')) {
        reply.header('Preference-Applied', 'return=representation');
        return body;
      }
      if (typeof body !== 'string') body.destroy();
    } catch (error) {
      reply.log.warn({ err: error }, 'the representation of a stored batch could not be read');
    }
    return null;
  }
}

/** Without objects, a list of batches has nothing to select. @throws Problem invalid-query */
function rejectView(query: ObjectViewQuery): void {
  const errors = (['fields', 'data_as'] as const)
    .filter((parameter) => query[parameter] !== undefined)
    .map((parameter) => ({ parameter, detail: 'requires include=objects' }));
  if (errors.length > 0) throw new ValidationErrors(...errors).problem('invalid-query');
}

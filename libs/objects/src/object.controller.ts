import { actorOf, type Actor, CurrentActor } from '#audit';
import { PageTrace, type Queryable } from '#database';
import { EncryptedKeys } from '#encryption';
import type { EncryptedKeyList, Filter } from '#filter';
import { ApiRespondAsync, WriteService } from '#jobs';
import {
  ApiResult,
  API,
  Http,
  type HttpContext,
  JsonBody,
  JsonHeader,
  listPreconditionProblem,
  mediaTypeOf,
  pageRequest,
  type PageRequest,
  bodyPageRequest,
  pageText,
  ApiPreconditions,
  ApiProblems,
  Queries,
  Rules,
  preconditionsOf,
  type Principal,
  CurrentPrincipal,
  ProjectId,
  ApiPage,
} from '#http';
import { Config } from '#platform';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Put, Query, Req } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiExtraModels, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { filterOf, objectsFingerprint } from './filter.dto.js';
import {
  ChangedObjectDto,
  CreateObjectDto,
  ObjectDto,
  ObjectPageDto,
  ObjectSearchPageDto,
  PatchObjectDto,
  PatchOperationDto,
  ReplaceObjectDto,
} from './object.dto.js';
import { ObjectDeletion } from './object-deletion.js';
import { DeletedObjectsDto, DeleteObjectsQuery, deletionFilterOf } from './object-deletion.dto.js';
import { ObjectEtags } from './object-etags.js';
import { ObjectOperations } from './object.operations.js';
import { JSON_PATCH, MERGE_PATCH, parseJsonPatch, parseMergePatch, PATCH_OPERATIONS_MAX } from './object-patch.js';
import { ObjectService } from './object.service.js';
import { ObjectListStore } from './object-list.store.js';
import { listOrderOf, sortOf, SortedObjectsQuery, type ObjectSort } from './object-sort.js';
import { ObjectSearchDto, searchOf } from './object-search.js';
import { ObjectViewQuery, type ObjectView, viewedTexts, viewOf } from './object-view.js';
import { objectText } from './object-wire.js';
import { requireAdminToExplain, tracedPage, withExplanation } from './page-explanation.js';
import { SortedListStore } from './sorted-list.store.js';

/** A requested page of objects, and how it is shown. */
interface RequestedPage {
  page: PageRequest;
  sort: ObjectSort | null;
  view: ObjectView;
  isExplained: boolean | undefined;
}

@ApiTags('objects')
@Controller(`${API}/objects`)
export class ObjectController {
  constructor(
    private readonly writes: WriteService,
    private readonly operations: ObjectOperations,
    private readonly objects: ObjectService,
    private readonly lists: ObjectListStore,
    private readonly sortedLists: SortedListStore,
    private readonly deletion: ObjectDeletion,
    private readonly encryption: EncryptedKeys,
    private readonly etags: ObjectEtags,
    private readonly config: Config,
  ) {}

  @Post()
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'], bodyLimit: 'object_limit_bytes' })
  @ApiOperation({ summary: 'Create an object in an existing batch' })
  @ApiBody({ type: CreateObjectDto })
  @ApiRespondAsync()
  @ApiResult(201, ObjectDto, { location: true, etag: true })
  @ApiProblems('malformed-request', 'invalid-body', 'conflict', 'too-large', 'quota-exceeded')
  createObject(@Http() http: HttpContext): Promise<string> {
    return this.writes.handle(this.operations.create, http);
  }

  @Get()
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({ summary: 'List the objects that match the filter, newest first or sorted' })
  @ApiPage(ObjectPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listObjects(
    @ProjectId() projectId: number,
    @CurrentPrincipal() principal: Principal,
    @Query() query: SortedObjectsQuery,
    @Http() http: HttpContext,
  ): Promise<string> {
    const encrypted = this.encryption.unsearchableKeysOf(projectId);
    const filter = filterOf(query, encrypted);
    const view = viewOf(query);
    const sort = sortOf(query, encrypted);
    const order = sort === null ? undefined : listOrderOf(sort);
    const page = pageRequest(query, this.config, objectsFingerprint(projectId, filter, sort), http, order);
    if (query.explain) requireAdminToExplain(principal, 'query');
    return this.pageOf(projectId, filter, { page, sort, view, isExplained: query.explain }, http);
  }

  @Delete()
  @JsonHeader()
  @Rules({ roles: ['admin'], query: true })
  @ApiOperation({
    summary: 'Delete the objects that match the filter, at most `max_affected`',
    description: 'In one transaction: all of them, or none. A filter is required.',
  })
  @ApiResult(200, DeletedObjectsDto)
  @ApiProblems('invalid-query', 'max-affected-exceeded', 'precondition-failed')
  async deleteObjects(
    @ProjectId() projectId: number,
    @Query() query: DeleteObjectsQuery,
    @CurrentActor() actor: Actor,
    @Http() { request, reply }: HttpContext,
  ): Promise<string> {
    const parseFilter = (encrypted: EncryptedKeyList): Filter => deletionFilterOf(query, encrypted);
    const filter = parseFilter(this.encryption.unsearchableKeysOf(projectId));
    const problem = listPreconditionProblem(request);
    if (problem !== undefined) throw problem;
    const matching = { filter, requireSearchable: parseFilter };
    const { count, firstIds } = await this.deletion.deleteMatching(projectId, matching, query.max_affected, actor);
    reply.chargedItems = count;
    reply.loggedIds = firstIds;
    return JSON.stringify({ deleted: count } satisfies DeletedObjectsDto);
  }

  @Post('search')
  @HttpCode(200)
  @JsonHeader()
  @Rules({
    roles: ['admin', 'analyst'],
    consumes: ['application/json'],
    bodyLimit: 'object_limit_bytes',
    isRead: true,
  })
  @ApiOperation({
    summary: 'List the objects that match a filter in the body, newest first or sorted',
    description:
      'The same query as `GET /objects`, for filters that are too long for a URL. `next` and `previous` are cursors: send the same body with `cursor` for another page.',
  })
  @ApiBody({ type: ObjectSearchDto })
  @ApiPage(ObjectSearchPageDto)
  @ApiProblems('malformed-request', 'invalid-body', 'invalid-cursor', 'too-large')
  async searchObjects(
    @ProjectId() projectId: number,
    @CurrentPrincipal() principal: Principal,
    @Body() body: JsonBody,
    @Http() http: HttpContext,
  ): Promise<string> {
    const { query, filter, sort, view } = searchOf(body, this.encryption.unsearchableKeysOf(projectId));
    const order = sort === null ? undefined : listOrderOf(sort);
    const page = bodyPageRequest(query, this.config, objectsFingerprint(projectId, filter, sort), http, order);
    if (query.explain) requireAdminToExplain(principal, 'body');
    return this.pageOf(projectId, filter, { page, sort, view, isExplained: query.explain }, http);
  }

  @Get(':object_id')
  @JsonHeader()
  @Rules({ roles: ['admin', 'analyst'], query: true })
  @ApiOperation({
    summary: 'Get an object',
    description: 'The ETag for If-Match is that of the whole object, without `fields` and `data_as`.',
  })
  @ApiResult(200, ObjectDto, { etag: true })
  @ApiProblems('invalid-query', 'not-found')
  async getObject(
    @ProjectId() projectId: number,
    @Param('object_id') objectId: string,
    @Query() query: ObjectViewQuery,
    @Queries() on: Queryable,
    @Http() { reply }: HttpContext,
  ): Promise<string> {
    const text = objectText(await this.objects.get(projectId, objectId, on), viewOf(query));
    reply.header('ETag', this.etags.etagOf(projectId, text));
    return text;
  }

  @Put(':object_id')
  @Rules({ roles: ['admin', 'producer'], consumes: ['application/json'], bodyLimit: 'object_limit_bytes' })
  @ApiOperation({
    summary: 'Replace an object, or create it in the batch of the body (idempotent)',
    description: 'A new object is created where the body has a `batch_id`; otherwise the response is 404.',
  })
  @ApiParam({ name: 'object_id', type: String })
  @ApiPreconditions()
  @ApiRespondAsync()
  @ApiBody({ type: ReplaceObjectDto })
  @ApiResult(200, ObjectDto, { etag: true })
  @ApiResult(201, ObjectDto, { etag: true, location: true, description: 'The object was created.' })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found', 'too-large', 'quota-exceeded')
  replaceObject(@Http() http: HttpContext): Promise<string> {
    return this.writes.handle(this.operations.replace, http);
  }

  @Patch(':object_id')
  @JsonHeader()
  @Rules({ roles: ['admin', 'producer'], consumes: [MERGE_PATCH, JSON_PATCH], bodyLimit: 'object_limit_bytes' })
  @ApiOperation({
    summary: 'Change an object (JSON merge patch or JSON Patch)',
    description: `As \`${JSON_PATCH}\` (RFC 6902): at most ${String(PATCH_OPERATIONS_MAX)} operations on the object as it is read. An operation that cannot be applied, or a \`test\` that fails, is 409, and nothing is changed. Producers, which read no data, may use \`add\`, \`remove\` and \`replace\`, and at or below \`/data\` only \`add\` at \`/data/-\`.`,
  })
  @ApiConsumes(MERGE_PATCH, JSON_PATCH)
  @ApiPreconditions()
  @ApiExtraModels(PatchOperationDto)
  @ApiBody({ type: PatchObjectDto })
  @ApiResult(200, ObjectDto, {
    or: ChangedObjectDto,
    etag: true,
    description: 'The object. Producers get only its ids and its time.',
  })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found', 'conflict', 'too-large', 'quota-exceeded')
  async patchObject(
    @ProjectId() projectId: number,
    @CurrentPrincipal() { role }: Principal,
    @Param('object_id') objectId: string,
    @Body() body: JsonBody,
    @Http() { request, reply }: HttpContext,
  ): Promise<string> {
    const target = { projectId, objectId, preconditions: preconditionsOf(request), actor: actorOf(request) };
    const patch = mediaTypeOf(request) === JSON_PATCH ? parseJsonPatch(body, role) : parseMergePatch(body);
    const { text, headers = {} } = await this.operations.patch(target, role, patch);
    reply.headers(headers);
    return text;
  }

  @Delete(':object_id')
  @HttpCode(204)
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Delete an object' })
  @ApiPreconditions()
  @ApiResult(204)
  @ApiProblems('not-found')
  async deleteObject(
    @ProjectId() projectId: number,
    @Param('object_id') objectId: string,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    await this.operations.delete({ projectId, objectId, preconditions: preconditionsOf(request), actor });
  }

  private async pageOf(
    projectId: number,
    filter: Filter,
    { page, sort, view, isExplained }: RequestedPage,
    { reply }: HttpContext,
  ): Promise<string> {
    const trace = isExplained ? new PageTrace() : undefined;
    const traced = trace === undefined ? page : tracedPage(page, trace);
    const { slice, count } =
      sort === null
        ? await this.lists.page(projectId, filter, traced)
        : await this.sortedLists.page(projectId, filter, sort, traced);
    reply.itemCount = slice.items.length;
    const rows = await this.encryption.openRows(projectId, slice.items);
    const text = pageText(page, slice, count, await viewedTexts(rows, objectText, view, projectId));
    return trace === undefined ? text : withExplanation(text, trace, filter, sort);
  }
}

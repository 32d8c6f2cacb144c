import { PATCH_TYPES } from '#access';
import { type Actor, CurrentActor } from '#audit';
import type { Queryable } from '#database';
import {
  API,
  ApiPage,
  ApiPreconditions,
  Queries,
  ApiProblems,
  ApiResult,
  baseUrl,
  etagOfJson,
  fingerprintOf,
  Http,
  type HttpContext,
  pageBody,
  PageQuery,
  pageRequest,
  preconditionsOf,
  ProjectId,
  Rules,
} from '#http';
import { Config } from '#platform';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  CreatedWebhookDto,
  CreateWebhookDto,
  DeliveryDto,
  DeliveryListQuery,
  DeliveryPageDto,
  RetriedDeliveriesDto,
  TestDeliveryDto,
  UpdateWebhookDto,
  WebhookDto,
  WebhookPageDto,
} from './webhook.dto.js';
import { WebhookService } from './webhook.service.js';
import { WebhookStore } from './webhook.store.js';

@ApiTags('webhooks')
@Controller(`${API}/webhooks`)
export class WebhookController {
  constructor(
    private readonly webhooks: WebhookService,
    private readonly store: WebhookStore,
    private readonly config: Config,
  ) {}

  @Post()
  @Rules({ roles: ['admin'], consumes: ['application/json'], bodyLimit: 'management_limit_bytes' })
  @ApiOperation({ summary: 'Create a webhook; only this response contains its secret' })
  @ApiResult(201, CreatedWebhookDto, { location: true })
  @ApiProblems('malformed-request', 'invalid-body', 'conflict')
  async createWebhook(
    @ProjectId() projectId: number,
    @Body() body: CreateWebhookDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreatedWebhookDto> {
    const webhook = await this.webhooks.create(projectId, body, actor);
    reply.header('Location', `${baseUrl(request)}/webhooks/${webhook.webhook_id}`);
    return webhook;
  }

  @Get()
  @Rules({ roles: ['admin'], query: true })
  @ApiOperation({ summary: 'List the webhooks of the project, newest first, without their secrets' })
  @ApiPage(WebhookPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor')
  async listWebhooks(
    @ProjectId() projectId: number,
    @Query() query: PageQuery,
    @Http() http: HttpContext,
  ): Promise<object> {
    const page = pageRequest(query, this.config, fingerprintOf('webhooks', projectId), http);
    const { slice, count } = await this.store.list(projectId, page);
    return pageBody(page, slice, count);
  }

  @Get(':webhook_id')
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Get a webhook, without its secret' })
  @ApiResult(200, WebhookDto, { etag: true })
  @ApiProblems('not-found')
  getWebhook(
    @ProjectId() projectId: number,
    @Param('webhook_id') id: string,
    @Queries() on: Queryable,
  ): Promise<WebhookDto> {
    return this.webhooks.get(projectId, id, on);
  }

  @Patch(':webhook_id')
  @Rules({ roles: ['admin'], consumes: PATCH_TYPES, bodyLimit: 'management_limit_bytes' })
  @ApiOperation({ summary: 'Change a webhook' })
  @ApiConsumes(...PATCH_TYPES)
  @ApiPreconditions({ isExempt: true })
  @ApiResult(200, WebhookDto, { etag: true })
  @ApiProblems('malformed-request', 'invalid-body', 'not-found', 'conflict')
  async updateWebhook(
    @ProjectId() projectId: number,
    @Param('webhook_id') id: string,
    @Body() body: UpdateWebhookDto,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<WebhookDto> {
    const webhook = await this.webhooks.update(projectId, id, body, actor, preconditionsOf(request));
    reply.header('ETag', etagOfJson(webhook));
    return webhook;
  }

  @Delete(':webhook_id')
  @HttpCode(204)
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Delete a webhook with its deliveries' })
  @ApiPreconditions({ isExempt: true })
  @ApiResult(204)
  @ApiProblems('not-found')
  async deleteWebhook(
    @ProjectId() projectId: number,
    @Param('webhook_id') id: string,
    @CurrentActor() actor: Actor,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    await this.webhooks.delete(projectId, id, actor, preconditionsOf(request));
  }

  @Post(':webhook_id/test')
  @HttpCode(202)
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Send the event webhook.test to a webhook' })
  @ApiResult(202, TestDeliveryDto)
  @ApiProblems('not-found', 'conflict')
  async testWebhook(@ProjectId() projectId: number, @Param('webhook_id') id: string): Promise<TestDeliveryDto> {
    return { delivery_id: await this.webhooks.test(projectId, id) };
  }

  @Get(':webhook_id/deliveries')
  @Rules({ roles: ['admin'], query: true })
  @ApiOperation({ summary: 'List what was sent to a webhook, newest first, with the results of the last attempts' })
  @ApiPage(DeliveryPageDto)
  @ApiProblems('invalid-query', 'invalid-cursor', 'not-found')
  async listDeliveries(
    @ProjectId() projectId: number,
    @Param('webhook_id') id: string,
    @Query() query: DeliveryListQuery,
    @Queries() on: Queryable,
    @Http() http: HttpContext,
  ): Promise<object> {
    const { webhook_id: webhookId } = await this.webhooks.get(projectId, id, on);
    const { status = null } = query;
    const page = pageRequest(query, this.config, fingerprintOf('deliveries', projectId, webhookId, status), http);
    const { slice, count } = await this.store.listDeliveries(projectId, webhookId, status, page);
    return pageBody(page, slice, count);
  }

  @Post(':webhook_id/deliveries/retry')
  @HttpCode(202)
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Retry the failed deliveries of a webhook, as many as may wait' })
  @ApiResult(202, RetriedDeliveriesDto)
  @ApiProblems('not-found', 'conflict')
  retryDeliveries(
    @ProjectId() projectId: number,
    @Param('webhook_id') id: string,
    @CurrentActor() actor: Actor,
  ): Promise<RetriedDeliveriesDto> {
    return this.webhooks.retryAll(projectId, id, actor);
  }

  @Post(':webhook_id/deliveries/:delivery_id/retry')
  @HttpCode(202)
  @Rules({ roles: ['admin'] })
  @ApiOperation({ summary: 'Retry a failed delivery, from its first attempt' })
  @ApiResult(202, DeliveryDto)
  @ApiProblems('not-found', 'delivery-not-failed', 'conflict')
  retryDelivery(
    @ProjectId() projectId: number,
    @Param('webhook_id') id: string,
    @Param('delivery_id') deliveryId: string,
    @CurrentActor() actor: Actor,
  ): Promise<DeliveryDto> {
    return this.webhooks.retry(projectId, id, deliveryId, actor);
  }
}

import { addVary, ApiResult, API, BODY_LIMITS, preferredType, requestOrigin, Rules } from '#http';
import { Config } from '#platform';
import { Telemetry } from '#telemetry';
import { FEED_LIST_MAX } from '#feeds';
import { DELETE_OBJECTS_MAX, PATCH_OPERATIONS_MAX, PATCHED_DATA_LIMIT_BYTES } from '#objects';
import { Controller, Get, Redirect, Req, Res } from '@nestjs/common';
import { ApiExcludeController, ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { GUIDE_LINKS } from './guides.js';
import { htmlPage, PAGE_POLICY } from './html-page.js';
import { servesMetrics } from './metrics.controller.js';

const ROOT_TYPES = ['application/json', 'text/html'] as const;

/** The resources and documents, in the order in which they are listed. */
const LISTING = [
  ['batches', `${API}/batches`, 'whole batches of objects: store, list, read, delete'],
  ['objects', `${API}/objects`, 'objects of all batches, found by any key or value'],
  ['object_keys', `${API}/objects/keys`, 'the keys of the objects, their types and numbers'],
  ['facets', `${API}/objects/facets`, 'the most frequent values of keys; needs ?key='],
  ['aggregate', `${API}/objects/aggregate`, 'counts, sums, averages and percentiles, also over time; needs ?op='],
  ['export', `${API}/objects/export`, 'all objects that a filter matches, as one file'],
  ['changes', `${API}/objects/changes`, 'what was created, changed and deleted, to follow'],
  ['deletions', `${API}/deletions`, 'deleted batches and objects that can be restored (admin)'],
  ['jobs', `${API}/jobs`, 'requests that run in the background, and their results'],
  ['webhooks', `${API}/webhooks`, 'where batches, jobs and thresholds are reported to (admin)'],
  ['devices', `${API}/devices`, 'devices, each with keys of its own'],
  ['firmware', `${API}/firmware`, 'firmware events of a device; needs ?device_id='],
  ['factories', `${API}/factories`, 'factories and their production over time'],
  ['sprockets', `${API}/sprockets`, 'sprockets: store, list, read, replace'],
  [
    'temperatures',
    `${API}/objects?key=temperature`,
    'all readings; those of one room: /buildings/{building}/rooms/{room}/temperatures',
  ],
  ['projects', `${API}/projects`, 'projects and their keys (operator)'],
  ['operator_keys', `${API}/operator-keys`, 'operator keys, which belong to no project (operator)'],
  ['audit', `${API}/audit`, 'who deleted, replaced and managed what (admin, operator)'],
  ['me', `${API}/me`, 'the key of the request: its name, role, project and expiry'],
  ['usage', `${API}/usage`, 'what the project stores, its requests and its limits (admin)'],
  ['maintenance', `${API}/maintenance`, 'the sizes of the tables, and whether old rows are deleted in time (operator)'],
  ['limits', `${API}/limits`, 'the largest body, batch, page and project, and the rate limits'],
  ['browse', '/browse', 'look at objects in the browser'],
  ['openapi', '/openapi.json', 'this API as an OpenAPI 3.1 document'],
  ['docs', '/docs', 'try requests in the browser (Swagger UI)'],
  ['redoc', '/redoc', 'the reference (ReDoc)'],
  ['problems', '/problems', 'what each error means'],
  ['filters', '/filters', 'the query language of lists'],
  ['guides', '/guides/objects', 'how to use and operate it, page by page'],
  ['health', '/healthcheck', 'whether the service and its database are up'],
  ['metrics', '/metrics', 'the metrics of this server, for Prometheus (operator)'],
] as const;

type ResourceLink = (typeof LISTING)[number];

export class LimitsDto {
  @ApiProperty({ description: 'Results on a page without page_size.', example: 10 })
  page_size: number;

  @ApiProperty({ description: 'The largest page_size.', example: 1000 })
  page_size_max: number;

  @ApiProperty({ description: 'About the largest total size of the objects on a page, in bytes.', example: 67108864 })
  page_bytes_max: number;

  @ApiProperty({ description: 'The largest exact count without count=exact.', example: 1000 })
  count_cap: number;

  @ApiProperty({ description: 'The time that the queries of a GET request may take, in milliseconds.', example: 10000 })
  query_timeout_ms: number;

  @ApiProperty({ description: 'The largest JSON body, in bytes.', example: 67108864 })
  body_limit_bytes: number;

  @ApiProperty({ description: 'The largest body of a request that stores one object, in bytes.', example: 1048576 })
  object_limit_bytes: number;

  @ApiProperty({ description: 'The largest body of a request for a project, key or device, in bytes.', example: 65536 })
  management_limit_bytes: number;

  @ApiProperty({ description: 'The largest firmware report, in bytes.', example: 16384 })
  report_limit_bytes: number;

  @ApiProperty({ description: 'The maximum number of objects in one JSON batch.', example: 100000 })
  batch_objects_max: number;

  @ApiProperty({
    description: 'The largest compressed NDJSON or CSV stream after decompression, in bytes.',
    example: 17179869184,
  })
  inflated_limit_bytes: number;

  @ApiProperty({ description: 'Operations of a JSON Patch.', example: 1000 })
  patch_operations_max: number;

  @ApiProperty({ description: 'The largest data of an object that a patch may result in.', example: 4194304 })
  patched_data_limit_bytes: number;

  @ApiProperty({ description: 'The largest `max_affected` of `DELETE /objects`.', example: 10000 })
  delete_objects_max: number;

  @ApiProperty({
    description: 'The maximum number of readings, factories or sprockets in one request.',
    example: 10000,
  })
  feed_list_max: number;

  @ApiProperty({
    description: 'The maximum number of objects of a project whose objects_max is null; 0: no limit.',
    example: 1000000,
  })
  project_objects_max: number;

  @ApiProperty({
    description: 'The largest size of the data of a project whose bytes_max is null, in bytes; 0: no limit.',
    example: 1000000000,
  })
  project_bytes_max: number;

  @ApiProperty({
    description: 'Hours for which deleted batches and objects can be restored; 0: not at all.',
    example: 24,
  })
  undelete_hours: number;

  @ApiProperty({ description: 'Items that a key may use per minute; 0: no limit.', example: 600000 })
  rate_limit_items_per_minute: number;

  @ApiProperty({ description: 'Items that all keys of a project may use per minute; 0: no limit.', example: 3000000 })
  rate_limit_project_items_per_minute: number;

  @ApiProperty({ description: 'Failed authentications of an address per minute; 0: no limit.', example: 60 })
  rate_limit_failures_per_minute: number;
}

/** The root of the server leads to the list of resources, and a browser to its page. */
@ApiExcludeController()
@Controller()
export class ServerRootController {
  @Get()
  @Rules({ roles: 'anyone', produces: ROOT_TYPES })
  @Redirect()
  redirect(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): { url: string } {
    addVary(reply, 'Accept');
    return { url: preferredType(request, ROOT_TYPES) === 'text/html' ? '/browse' : `${API}/` };
  }
}

@ApiTags('root')
@Controller(API)
export class RootController {
  private readonly listing: readonly ResourceLink[];

  constructor(
    private readonly config: Config,
    telemetry: Telemetry,
  ) {
    this.listing = servesMetrics(telemetry, config) ? LISTING : LISTING.filter(([name]) => name !== 'metrics');
  }

  @Get()
  @Rules({ roles: 'anyone', produces: ROOT_TYPES })
  @ApiOperation({ summary: 'List the resources: name to URL, or a page for a browser' })
  @ApiResult(200, undefined, { description: 'Names and URLs.' })
  getRoot(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): object | string {
    const origin = requestOrigin(request);
    addVary(reply, 'Accept');
    if (preferredType(request, ROOT_TYPES) === 'application/json') {
      return Object.fromEntries(this.listing.map(([name, path]) => [name, origin + path]));
    }
    reply.type('text/html; charset=utf-8').header('Content-Security-Policy', PAGE_POLICY);
    return htmlPage('Stowage', listingHtml(this.listing), { links: GUIDE_LINKS });
  }

  @Get('limits')
  @Rules({ roles: 'anyone' })
  @ApiOperation({ summary: 'The limits of this installation' })
  @ApiResult(200, LimitsDto)
  getLimits(): LimitsDto {
    const { pageSize, pageSizeMax, pageBytesMax, countCap, bodyLimitBytes, batchObjectsMax, inflatedLimitBytes } =
      this.config.limits;
    const { projectObjectsMax, projectBytesMax, undeleteHours } = this.config.limits;
    const { keyItems, projectItems, failures } = this.config.rateLimits;
    return {
      page_size: pageSize,
      page_size_max: pageSizeMax,
      page_bytes_max: pageBytesMax,
      count_cap: countCap,
      query_timeout_ms: this.config.database.queryTimeoutMs,
      body_limit_bytes: bodyLimitBytes,
      object_limit_bytes: Math.min(BODY_LIMITS.object_limit_bytes, bodyLimitBytes),
      management_limit_bytes: Math.min(BODY_LIMITS.management_limit_bytes, bodyLimitBytes),
      report_limit_bytes: Math.min(BODY_LIMITS.report_limit_bytes, bodyLimitBytes),
      batch_objects_max: batchObjectsMax,
      inflated_limit_bytes: inflatedLimitBytes,
      patch_operations_max: PATCH_OPERATIONS_MAX,
      patched_data_limit_bytes: PATCHED_DATA_LIMIT_BYTES,
      delete_objects_max: DELETE_OBJECTS_MAX,
      feed_list_max: FEED_LIST_MAX,
      project_objects_max: projectObjectsMax,
      project_bytes_max: projectBytesMax,
      undelete_hours: undeleteHours,
      rate_limit_items_per_minute: keyItems,
      rate_limit_project_items_per_minute: projectItems,
      rate_limit_failures_per_minute: failures,
    };
  }
}

function listingHtml(listing: readonly ResourceLink[]): string {
  const rows = listing.map(
    ([name, path, description]) =>
      `<tr><td><a href="${path}">${name}</a></td><td><code>${path}</code></td><td>${description}</td></tr>`,
  );
  return `<p>A warehouse for batches of small JSON objects. Requests need a key: <code>Authorization: Bearer &lt;key&gt;</code>.</p>
<table>${rows.join('\n')}</table>`;
}

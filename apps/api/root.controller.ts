import { ApiResult, API, requestOrigin, Rules } from '#http';
import { Config } from '#platform';
import { FEED_LIST_MAX } from '#feeds';
import { Controller, Get, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';
import accepts from 'accepts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { htmlPage } from './html-page.js';

/** What there is, as paths; the order is the order shown. */
const LISTING = {
  batches: `${API}/batches`,
  objects: `${API}/objects`,
  jobs: `${API}/jobs`,
  devices: `${API}/devices`,
  firmware: `${API}/firmware`,
  factories: `${API}/factories`,
  sprockets: `${API}/sprockets`,
  temperatures: `${API}/objects?key=temperature`,
  projects: `${API}/projects`,
  limits: `${API}/limits`,
  openapi: '/openapi.json',
  docs: '/docs',
  redoc: '/redoc',
  problems: '/problems',
  health: '/healthcheck',
} as const;

const SAYS: Record<keyof typeof LISTING, string> = {
  batches: 'whole batches of objects: post, list, get, delete',
  objects: 'every object, found by any key or value',
  jobs: 'what became of requests that were accepted to be done later',
  devices: 'what reports about itself, each with keys of its own',
  firmware: 'which firmware a device runs and ran: ?device_id=',
  factories: 'factories, and what they made over time',
  sprockets: 'sprockets: post one or a file, list, get, replace',
  temperatures: 'all readings; those of a room: /buildings/{building}/rooms/{room}/temperatures',
  projects: 'projects and their keys (operator, admin)',
  limits: 'how large a body, a batch or a page may be',
  openapi: 'this API as OpenAPI 3.1',
  docs: 'try requests in the browser (Swagger UI)',
  redoc: 'read the reference (ReDoc)',
  problems: 'what each error means',
  health: 'whether the service and its database are up',
};

export class LimitsDto {
  @ApiProperty({ description: 'Results on a page when page_size is left out.', example: 10 })
  page_size: number;

  @ApiProperty({ description: 'The largest page_size.', example: 1000 })
  page_size_max: number;

  @ApiProperty({ description: 'What the objects of a page may hold together, about, in bytes.', example: 67108864 })
  page_bytes_max: number;

  @ApiProperty({ description: 'How far a count is exact unless count=exact asks for all.', example: 1000 })
  count_cap: number;

  @ApiProperty({ description: 'The largest JSON body, in bytes.', example: 67108864 })
  body_limit_bytes: number;

  @ApiProperty({ description: 'The most objects in one JSON batch.', example: 100000 })
  batch_objects_max: number;

  @ApiProperty({ description: 'The largest compressed NDJSON stream after inflating, in bytes.', example: 17179869184 })
  inflated_limit_bytes: number;

  @ApiProperty({ description: 'The most readings, factories or sprockets in one request.', example: 10000 })
  feed_list_max: number;
}

@ApiTags('root')
@Controller(API)
export class RootController {
  constructor(private readonly config: Config) {}

  @Get()
  @Rules({ roles: 'anyone', produces: ['application/json', 'text/html'] })
  @ApiOperation({ summary: 'List what there is: name to URL; a page for a browser' })
  @ApiResult(200, undefined, { description: 'Names and their URLs.' })
  getRoot(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): object | string {
    const origin = requestOrigin(request);
    reply.header('Vary', 'Accept');
    if (accepts(request.raw).type(['application/json', 'text/html']) === 'application/json') {
      return Object.fromEntries(Object.entries(LISTING).map(([name, path]) => [name, origin + path]));
    }
    reply.type('text/html; charset=utf-8');
    return htmlPage('Stowage', listingHtml());
  }

  @Get('limits')
  @Rules({ roles: 'anyone' })
  @ApiOperation({ summary: 'The limits of this installation' })
  @ApiResult(200, LimitsDto)
  getLimits(): LimitsDto {
    const { pageSize, pageSizeMax, pageBytesMax, countCap, bodyLimitBytes, batchObjectsMax, inflatedLimitBytes } =
      this.config.limits;
    return {
      page_size: pageSize,
      page_size_max: pageSizeMax,
      page_bytes_max: pageBytesMax,
      count_cap: countCap,
      body_limit_bytes: bodyLimitBytes,
      batch_objects_max: batchObjectsMax,
      inflated_limit_bytes: inflatedLimitBytes,
      feed_list_max: FEED_LIST_MAX,
    };
  }
}

function listingHtml(): string {
  const rows = Object.entries(LISTING).map(
    ([name, path]) =>
      `<tr><td><a href="${path}">${name}</a></td><td><code>${path}</code></td><td>${SAYS[name as keyof typeof LISTING]}</td></tr>`,
  );
  return `<p>A warehouse for batches of small JSON objects. Requests need a key: <code>Authorization: Bearer &lt;key&gt;</code>.</p>
<table>${rows.join('\n')}</table>`;
}

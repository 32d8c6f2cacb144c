import { applyDecorators, Header, type Type } from '@nestjs/common';
import { ApiExtraModels, ApiHeader, ApiProperty, ApiResponse, getSchemaPath } from '@nestjs/swagger';
import { PROBLEMS, type ProblemSlug } from './problems.js';

/** A problem document (RFC 9457). */
export class ProblemDto {
  @ApiProperty({
    format: 'uri',
    description: 'The URL of the page that explains the problem.',
    example: 'http://127.0.0.1:8000/problems#not-found',
  })
  type: string;

  @ApiProperty({ example: 'Not found' })
  title: string;

  @ApiProperty({ example: 404 })
  status: number;

  @ApiProperty({ description: 'What is wrong with this request.', example: 'Object not found.' })
  detail: string;

  @ApiProperty({ description: 'The path of the request.', example: '/api/v1/objects/shoe-9' })
  instance: string;

  @ApiProperty({ description: 'Identifies the request in the log.', example: '8f14e45fceea-1k' })
  request_id: string;

  @ApiProperty({
    required: false,
    description:
      'Each error with its location: a JSON Pointer into the body, or the name of a query parameter or header. At most 100.',
    type: 'array',
    items: {
      type: 'object',
      properties: {
        pointer: { type: 'string' },
        parameter: { type: 'string' },
        header: { type: 'string' },
        detail: { type: 'string' },
      },
      required: ['detail'],
    },
  })
  errors?: { pointer?: string; parameter?: string; header?: string; detail: string }[];

  @ApiProperty({ required: false, description: 'The number of errors found.' })
  error_count?: number;

  @ApiProperty({
    required: false,
    enum: ['at_least'],
    description: 'Present where validation ended after 100 errors, so that there may be more.',
  })
  error_count_is?: 'at_least';
}

/** For a handler that returns JSON text. */
export function JsonHeader(): MethodDecorator {
  return Header('Content-Type', 'application/json; charset=utf-8');
}

interface ResultOptions {
  description?: string;
  /** An alternative body. */
  or?: Type;
  /** The response has a Location, except with the alternative body. */
  location?: boolean;
  /** The response has an ETag. */
  etag?: boolean;
  /** The response has a Link to the next and previous page. */
  link?: boolean;
  /** The response may have Preference-Applied. */
  preference?: boolean;
  /** Media types of the body that are not JSON of the type. */
  otherTypes?: readonly string[];
  /** Descriptions of further headers, by name. */
  headers?: Readonly<Record<string, string>>;
}

const LOCATION = { description: 'The URL of the new resource.', schema: { type: 'string', format: 'uri' } } as const;
const ETAG = {
  description: 'Identifies the current state, for If-Match and If-None-Match.',
  required: true,
  schema: { type: 'string' },
} as const;
const LINK = {
  description: 'The next page and the previous one, by `rel` (RFC 8288).',
  schema: { type: 'string' },
} as const;
const PREFERENCE = {
  description: 'The preference of `Prefer` that was applied (RFC 7240).',
  schema: { type: 'string' },
} as const;

/** Documents a successful response. @param type in brackets for a list */
export function ApiResult(status: number, type?: Type | [Type], options: ResultOptions = {}): MethodDecorator {
  const { description = status === 204 ? 'Success, without content.' : 'Success.', or } = options;
  const headers = {
    ...(options.location ? { Location: { ...LOCATION, required: or === undefined } } : {}),
    ...(options.etag ? { ETag: ETAG } : {}),
    ...(options.link ? { Link: LINK } : {}),
    ...(options.preference ? { 'Preference-Applied': PREFERENCE } : {}),
    ...Object.fromEntries(
      Object.entries(options.headers ?? {}).map(([name, text]) => [
        name,
        { description: text, schema: { type: 'string' } },
      ]),
    ),
  };
  if (options.otherTypes !== undefined) {
    const content = Object.fromEntries(
      options.otherTypes.map((mediaType) => [mediaType, { schema: { type: 'string' } }]),
    );
    if (type === undefined) return ApiResponse({ status, description, headers, content });
    if (Array.isArray(type)) throw new Error('a list with other media types is not supported');
    const json = { 'application/json': { schema: { $ref: getSchemaPath(type) } } };
    return applyDecorators(
      ApiExtraModels(type),
      ApiResponse({ status, description, headers, content: { ...json, ...content } }),
    );
  }
  if (or === undefined || type === undefined)
    return ApiResponse({ status, description, headers, ...(type === undefined ? {} : { type }) });
  if (Array.isArray(type)) throw new Error('a list with an alternative is not supported');
  const oneOf = [type, or].map((one) => ({ $ref: getSchemaPath(one) }));
  return applyDecorators(ApiExtraModels(type, or), ApiResponse({ status, description, headers, schema: { oneOf } }));
}

/** Documents a page of a list that is counted. */
export function ApiPage(type: Type): MethodDecorator {
  const description = '`wait=N` lets counting take N seconds instead of 2, up to query_timeout_ms of /api/v1/limits.';
  return applyDecorators(
    ApiHeader({ name: 'Prefer', required: false, description }),
    ApiResult(200, type, { preference: true }),
  );
}

/** Documents the problems of a handler, in addition to those that every route can have. */
export function ApiProblems(...slugs: ProblemSlug[]): MethodDecorator {
  const statuses = new Set(slugs.map((slug) => PROBLEMS[slug].status));
  return applyDecorators(
    ...Array.from(statuses, (status) =>
      ApiResponse({
        status,
        description: slugs
          .filter((slug) => PROBLEMS[slug].status === status)
          .map((slug) => `${slug}: ${PROBLEMS[slug].title}.`)
          .join(' '),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/ProblemDto' } } },
      }),
    ),
  );
}

/**
 * Documents that a handler evaluates If-Match and If-None-Match with `checkPreconditions`.
 * @param isExempt whether REQUIRE_IF_MATCH does not apply to the resource
 */
export function ApiPreconditions({ isExempt = false } = {}): MethodDecorator {
  const description = 'Makes the request conditional on the ETag of the resource, or on `*` for any (RFC 9110, 13.1).';
  return applyDecorators(
    ApiHeader({ name: 'If-Match', required: false, description }),
    ApiHeader({ name: 'If-None-Match', required: false, description }),
    ApiProblems('precondition-failed', ...(isExempt ? [] : (['precondition-required'] as const))),
  );
}

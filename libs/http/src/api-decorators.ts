import { applyDecorators, Header, type Type } from '@nestjs/common';
import { ApiExtraModels, ApiHeader, ApiProperty, ApiResponse, getSchemaPath } from '@nestjs/swagger';
import { PROBLEMS, type ProblemSlug } from './problems.js';

/** RFC 9457. */
export class ProblemDto {
  @ApiProperty({
    format: 'uri',
    description: 'The page that explains this kind of problem.',
    example: 'http://127.0.0.1:8000/problems#not-found',
  })
  type: string;

  @ApiProperty({ example: 'Not found' })
  title: string;

  @ApiProperty({ example: 404 })
  status: number;

  @ApiProperty({ description: 'What went wrong this time.', example: 'There is no such object.' })
  detail: string;

  @ApiProperty({ description: 'The address that was asked.', example: '/api/v1/objects/shoe-9' })
  instance: string;

  @ApiProperty({ description: 'Quote it when you report a fault.', example: '8f14e45fceea-1k' })
  request_id: string;

  @ApiProperty({
    required: false,
    description:
      'Each mistake with its place: a JSON Pointer into the body, or the name of a query parameter or of a header. At most 100.',
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

  @ApiProperty({ required: false, description: 'How many mistakes there are in all.' })
  error_count?: number;
}

/** The handler returns JSON text, which goes out as it is. */
export function JsonHeader(): MethodDecorator {
  return Header('Content-Type', 'application/json; charset=utf-8');
}

interface AnswerOptions {
  description?: string;
  /** What it may be instead. */
  or?: Type;
  /** Says where the new thing is; `or` does not. */
  location?: boolean;
  /** Carries an ETag. */
  etag?: boolean;
  /** Leads to the pages beside this. */
  link?: boolean;
}

const LOCATION = { description: 'The URL of what was made.', schema: { type: 'string', format: 'uri' } } as const;
const ETAG = {
  description: 'Identifies this state; for If-Match and If-None-Match.',
  required: true,
  schema: { type: 'string' },
} as const;
const LINK = {
  description: 'The next page and the previous one, by `rel` (RFC 8288).',
  schema: { type: 'string' },
} as const;

/** Documents what a handler answers when all went well. @param type in brackets for a list of it */
export function ApiResult(status: number, type?: Type | [Type], options: AnswerOptions = {}): MethodDecorator {
  const { description = status === 204 ? 'Done; there is nothing to say.' : 'Done.', or } = options;
  const headers = {
    ...(options.location ? { Location: { ...LOCATION, required: or === undefined } } : {}),
    ...(options.etag ? { ETag: ETAG } : {}),
    ...(options.link ? { Link: LINK } : {}),
  };
  if (or === undefined || type === undefined)
    return ApiResponse({ status, description, headers, ...(type === undefined ? {} : { type }) });
  if (Array.isArray(type)) throw new Error('a list or else something else is documented nowhere yet');
  const oneOf = [type, or].map((one) => ({ $ref: getSchemaPath(one) }));
  return applyDecorators(ApiExtraModels(type, or), ApiResponse({ status, description, headers, schema: { oneOf } }));
}

/** Documents which problems a handler may answer with, beside those that every route has. */
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

/** Documents that a handler evaluates If-Match and If-None-Match with `checkPreconditions`. */
export function ApiPreconditions(): MethodDecorator {
  const description = 'Makes the request conditional on the ETag of the resource, or on `*` for any (RFC 9110, 13.1).';
  return applyDecorators(
    ApiHeader({ name: 'If-Match', required: false, description }),
    ApiHeader({ name: 'If-None-Match', required: false, description }),
    ApiProblems('precondition-failed'),
  );
}

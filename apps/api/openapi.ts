import { ProblemDto, PROBLEMS, type ProblemSlug } from '#http';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;
type Responses = Operation['responses'];
type Security = NonNullable<Operation['security']>;
type Parameter = Extract<NonNullable<Operation['parameters']>[number], { in: string }>;
type License = NonNullable<OpenAPIObject['info']['license']>;

/** OpenAPI 3.1 identifies a license by its SPDX identifier, which the types of @nestjs/swagger lack. */
const LICENSE: License & { identifier: string } = { name: 'MIT', identifier: 'MIT' };

const DESCRIPTION = `A warehouse for batches of small JSON objects: post a whole batch, find any object by any key or value.

**Authentication.** Send an API key as \`Authorization: Bearer <key>\` or \`X-Api-Key: <key>\`. \`x-roles\` lists the roles
that may call an operation.

**Errors.** Every error is \`application/problem+json\` (RFC 9457). Its \`type\` is the URL of the page that explains it.

**Rate limits.** Each key and each project may use a number of items per minute; \`GET /api/v1/limits\` lists the limits. A
request costs one item, a write one for each object. \`RateLimit\` has what is left, and a 429 \`Retry-After\`.

**Compression.** A request body may be compressed with \`Content-Encoding: gzip\` or \`zstd\`. Reads of more than
1 KB are compressed with gzip, or zstd where the server has it, as \`Accept-Encoding\` asks.

**Ids.** An id is any text without control characters, except \`.\` and \`..\`, which URL parsers remove.
Percent-encode it in a URL: a \`/\` inside an id is \`%2F\`.`;

const TAGS: Readonly<Record<string, string>> = {
  root: 'The list of resources, the limits of this installation, and the key that a request uses.',
  batches: 'Whole batches of objects: store, list, read and delete.',
  objects: 'Single objects, filtered lists and aggregates.',
  deletions: 'Deleted batches and objects, which can be restored for some time.',
  webhooks: 'Events of the project, sent to other systems.',
  jobs: 'Requests that were accepted with 202 and run in the background.',
  'projects and keys': 'Projects, their API keys, and the operator keys.',
  devices: 'Devices, each with API keys of its own.',
  audit: 'The log of deletes, replacements, changes of keys, and denied requests.',
  firmware: 'Feed: which firmware a device runs.',
  factories: 'Feed: factories and their production over time.',
  sprockets: 'Feed: sprockets and their dimensions.',
  temperatures: 'Feed: temperatures of rooms and their averages.',
  operations: 'Health of the service and its database, and its maintenance.',
};

/** Problems that every route can return besides its own. A test makes every route return each of them. */
const ANY: readonly ProblemSlug[] = ['invalid-query', 'not-acceptable'];
const WITH_KEY: readonly ProblemSlug[] = ['unauthenticated', 'forbidden', 'rate-limited', 'unavailable'];
const WITH_ID: readonly ProblemSlug[] = ['invalid-path', 'uri-too-long'];
const ON_POST: readonly ProblemSlug[] = ['precondition-failed'];
const WITH_IDEMPOTENCY_KEY: readonly ProblemSlug[] = [
  'invalid-header',
  'idempotency-key-reused',
  'idempotency-in-progress',
];
const ON_STORE: readonly ProblemSlug[] = ['insufficient-storage'];
const WITH_BODY: readonly ProblemSlug[] = ['malformed-request', 'too-large', 'unsupported-media-type'];

const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'Makes the request safe to retry. Use a new value, such as a UUID, for each request. For 24 hours a repeated request with the same value gets the first response again, with `Idempotency-Replayed: true`, and changes nothing.',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
} as const;

const TEXT = { type: 'string' } as const;
const RATE_LIMIT_HEADERS = {
  'RateLimit-Policy': {
    description: 'The limits of the key and its project (draft-ietf-httpapi-ratelimit-headers): items, seconds.',
    schema: TEXT,
    example: '"key";q=600000;w=60, "project";q=3000000;w=60',
  },
  RateLimit: {
    description: 'What is left of each limit: items, and the seconds until all of it is available again.',
    schema: TEXT,
    example: '"key";r=599000;t=42, "project";r=2999000;t=42',
  },
} as const;
const RETRYABLE_STATUSES: readonly string[] = ['429', '503', '507'];
const RETRY_AFTER = {
  description: 'The seconds after which to retry.',
  required: true,
  schema: { type: 'integer', minimum: 1 },
  example: 42,
} as const;

/** Builds the OpenAPI document of all routes from the controllers and DTOs. */
export function createOpenApi(app: INestApplication): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Stowage')
    .setDescription(DESCRIPTION)
    .setVersion('1')
    .addServer('/')
    // addBearerAuth would declare the format JWT.
    .addSecurity('bearer', {
      type: 'http',
      scheme: 'bearer',
      description:
        'An API key, such as `stw_analyst_…`, sent as `Authorization: Bearer <key>`. Either scheme is sufficient.',
    })
    .addApiKey(
      {
        type: 'apiKey',
        in: 'header',
        name: 'X-Api-Key',
        description: 'The API key, as an alternative to Authorization.',
      },
      'api-key',
    );
  for (const [name, description] of Object.entries(TAGS)) builder.addTag(name, description);
  const document = SwaggerModule.createDocument(app, builder.build(), {
    extraModels: [ProblemDto],
    // Client generators name their functions after the operation id, so each handler is named for what it does.
    operationIdFactory: (_controller, handler) => handler,
  });
  document.info.license = LICENSE;
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of ['get', 'post', 'put', 'patch', 'delete'] as const) {
      const operation = item[method];
      if (operation !== undefined) completeOperation(operation, path, method, document);
    }
  }
  return document;
}

/** Adds the problems, parameters and security that all operations of a kind share, so that controllers do not repeat them. */
function completeOperation(operation: Operation, path: string, method: string, document: OpenAPIObject): void {
  const needsKey = 'x-roles' in operation;
  const withKey = needsKey ? WITH_KEY : [];
  const withId = path.includes('{') ? WITH_ID : [];
  const withBody = operation.requestBody === undefined ? [] : WITH_BODY;
  const stores = needsKey && ['post', 'put', 'patch'].includes(method) && !('x-reads' in operation);
  const onStore = stores ? ON_STORE : [];
  for (const slug of [...ANY, ...withKey, ...withId, ...withBody, ...onStore]) addProblem(operation.responses, slug);
  for (const parameter of operation.parameters ?? []) if ('in' in parameter) moveExample(parameter);
  if (needsKey && method === 'post') for (const slug of ON_POST) addProblem(operation.responses, slug);
  if (stores && method === 'post') {
    operation.parameters = [...(operation.parameters ?? []), IDEMPOTENCY_KEY];
    for (const slug of WITH_IDEMPOTENCY_KEY) addProblem(operation.responses, slug);
  }
  if (needsKey && method === 'get' && !('x-no-etag' in operation))
    operation.responses[304] ??= { description: 'Not modified: If-None-Match lists the current ETag.' };
  if (needsKey) addRateLimitHeaders(operation.responses);
  describeOtherBodies(operation.requestBody);
  operation.security = needsKey ? securityOf(operation.security, document) : [];
}

/**
 * Returns the two schemes that every route accepts, followed by one for each further header of the route's rules. Swagger UI
 * lists the schemes in the order in which they are added, so those of the firmware routes come last.
 */
function securityOf(added: Security = [], { components = {} }: OpenAPIObject): Security {
  for (const header of added.flatMap((one) => Object.keys(one))) {
    // The rules have header names in lower case, as Node.js does; the document shows the names of the contract.
    const name = header.replace(/^x(?=-)|(?<=-)[a-z]/g, (letter) => letter.toUpperCase());
    const description = 'Firmware routes only: for devices that cannot send `Authorization` or `X-Api-Key`.';
    components.securitySchemes = {
      ...components.securitySchemes,
      [header]: { type: 'apiKey', in: 'header', name, description },
    };
  }
  return [{ bearer: [] }, { 'api-key': [] }, ...added];
}

/**
 * Every response to a key has the fields of the rate limits, unless they are off; 429, 503 and 507 have the time after which to
 * retry.
 */
function addRateLimitHeaders(responses: Responses): void {
  for (const [status, response] of Object.entries(responses)) {
    if (response === undefined || !('description' in response) || status === '401') continue;
    response.headers = {
      ...response.headers,
      ...RATE_LIMIT_HEADERS,
      ...(RETRYABLE_STATUSES.includes(status) && { 'Retry-After': RETRY_AFTER }),
    };
  }
}

/**
 * Moves the example of an optional parameter to its description and to `examples` of its schema. Swagger UI fills in
 * `example`, `default` and the parameter's own `examples`: a reader who presses Execute would send a filter, or delete with
 * `cascade=true`, without having chosen it.
 */
function moveExample(parameter: Parameter): void {
  const { schema } = parameter;
  if (parameter.required === true || schema === undefined || !('example' in schema)) return;
  const { example, ...rest } = schema as { example: unknown };
  const text = typeof example === 'string' ? example : JSON.stringify(example);
  parameter.schema = { ...rest, examples: [example] };
  parameter.description = `${parameter.description ?? ''} Example: \`${text}\`.`.trimStart();
}

/** Replaces the schemas of NDJSON and CSV bodies and of JSON Patches: the generator gives them that of the JSON body. */
function describeOtherBodies(
  body: { content?: Record<string, { schema?: object; example?: unknown }> } | object = {},
): void {
  const {
    'application/json': json,
    'application/x-ndjson': ndjson,
    'text/csv': csv,
    'application/json-patch+json': jsonPatch,
  } = ('content' in body ? body.content : undefined) ?? {};
  if (jsonPatch !== undefined)
    jsonPatch.schema = { type: 'array', items: { $ref: '#/components/schemas/PatchOperationDto' } };
  if (csv !== undefined) {
    csv.schema = { type: 'string', description: 'A header line of keys, and one object per row.' };
    csv.example = 'sku;shelf;sold_at;type;size\nshoe-7;shelf-7;2026-11-21T09:00:00Z;shoe;42\nshoe-8;;;boot;\n';
  }
  if (ndjson === undefined) return;
  const isList = json?.schema !== undefined && 'oneOf' in json.schema;
  if (isList) {
    ndjson.schema = { type: 'string', description: 'One item per line, each as in a list.' };
    ndjson.example = `${JSON.stringify(json.example ?? (json.schema as { example?: unknown }).example)}\n`;
    return;
  }
  ndjson.schema = { type: 'string', description: 'One object per line, each as in `objects`.' };
  ndjson.example =
    '{"object_id":"shoe-1","data":{"type":"shoe","size":42}}\n{"object_id":"shoe-2","data":{"type":"boot"}}\n';
}

function addProblem(responses: Responses, slug: ProblemSlug): void {
  const { status, title } = PROBLEMS[slug];
  const description = `${slug}: ${title}.`;
  const documented = responses[status];
  if (documented === undefined) {
    const content = { 'application/problem+json': { schema: { $ref: '#/components/schemas/ProblemDto' } } };
    responses[status] = { description, content };
  } else if ('description' in documented && !documented.description.includes(`${slug}:`)) {
    documented.description += ` ${description}`;
  }
}

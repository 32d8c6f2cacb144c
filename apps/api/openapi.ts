import { API, ProblemDto, PROBLEMS, type ProblemSlug } from '#http';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;
type Responses = Operation['responses'];
type Security = NonNullable<Operation['security']>;

const DESCRIPTION = `A warehouse for batches of small JSON objects: post a whole batch, find any object by any key or value.

Every resource needs a key: \`Authorization: Bearer <key>\` or \`X-Api-Key: <key>\`. Every error is
\`application/problem+json\` (RFC 9457); its \`type\` leads to the page that explains it.
\`x-roles\` of an operation are the roles whose keys may do it. A body may be compressed: \`Content-Encoding: gzip\` or \`zstd\`.

An id is any text; in an address it is percent-encoded, so a \`/\` inside an id is \`%2F\`.`;

/** What any route may answer besides its own problems; a test sends every route what leads to each. */
const ANY: readonly ProblemSlug[] = ['invalid-query', 'not-acceptable'];
const WITH_KEY: readonly ProblemSlug[] = ['unauthenticated', 'forbidden', 'unavailable'];
const WITH_ID: readonly ProblemSlug[] = ['invalid-path', 'uri-too-long'];
const WITH_IDEMPOTENCY: readonly ProblemSlug[] = [
  'invalid-header',
  'idempotency-key-reused',
  'idempotency-in-progress',
];
const WITH_BODY: readonly ProblemSlug[] = ['malformed-request', 'too-large', 'unsupported-media-type'];

const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'Makes the request safe to send again: for 24 hours the first answer is given again, with `Idempotency-Replayed: true`.',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
  example: '8e03978e-40d5-43e8-bc93-6894a57f9324',
} as const;

/** OpenAPI of all routes, from the controllers and DTOs themselves. */
export function createOpenApi(app: INestApplication): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Stowage')
    .setDescription(DESCRIPTION)
    .setVersion('1')
    // Not addBearerAuth: that would say that a key is a JWT.
    .addSecurity('bearer', { type: 'http', scheme: 'bearer' })
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-Api-Key' }, 'api-key');
  const document = SwaggerModule.createDocument(app, builder.build(), {
    extraModels: [ProblemDto],
    // Client generators name their functions after the operation id, so each handler is named for what it does.
    operationIdFactory: (_controller, handler) => handler,
  });
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of ['get', 'post', 'put', 'patch', 'delete'] as const) {
      const operation = item[method];
      if (operation === undefined) continue;
      const needsKey = path.startsWith(API) && path !== API && path !== `${API}/limits`;
      const withKey = needsKey ? WITH_KEY : [];
      const withId = path.includes('{') ? WITH_ID : [];
      const withBody = operation.requestBody === undefined ? [] : WITH_BODY;
      for (const slug of [...ANY, ...withKey, ...withId, ...withBody]) addProblem(operation.responses, slug);
      if (needsKey && method === 'post') {
        operation.parameters = [...(operation.parameters ?? []), IDEMPOTENCY_KEY];
        for (const slug of WITH_IDEMPOTENCY) addProblem(operation.responses, slug);
      }
      if (needsKey && method === 'get')
        operation.responses[304] ??= { description: 'You have it already: If-None-Match.' };
      describeLines(operation.requestBody);
      if (needsKey) operation.security = securityOf(operation.security, document);
    }
  }
  return document;
}

/** Either of the two ways that every route takes a key in, or one of the headers that its rules add. */
function securityOf(added: Security = [], { components = {} }: OpenAPIObject): Security {
  for (const header of added.flatMap((one) => Object.keys(one))) {
    // Rules have it in lower case, as Node.js does; a reader looks for the name that the contract has.
    const name = header.replace(/^x(?=-)|(?<=-)[a-z]/g, (letter) => letter.toUpperCase());
    components.securitySchemes = { ...components.securitySchemes, [header]: { type: 'apiKey', in: 'header', name } };
  }
  return [{ bearer: [] }, { 'api-key': [] }, ...added];
}

/** A stream has no schema of its own in OpenAPI 3.1; the generator gives it that of the JSON body. */
function describeLines(body: { content?: Record<string, { schema?: object; example?: unknown }> } | object = {}): void {
  const lines = 'content' in body ? body.content['application/x-ndjson'] : undefined;
  if (lines === undefined) return;
  lines.schema = { type: 'string', description: 'One object a line, each as in `objects`.' };
  lines.example =
    '{"object_id":"shoe-1","data":{"type":"shoe","size":42}}\n{"object_id":"shoe-2","data":{"type":"boot"}}\n';
}

function addProblem(responses: Responses, slug: ProblemSlug): void {
  const { status, title } = PROBLEMS[slug];
  const description = `${slug}: ${title}.`;
  const said = responses[status];
  if (said === undefined) {
    const content = { 'application/problem+json': { schema: { $ref: '#/components/schemas/ProblemDto' } } };
    responses[status] = { description, content };
  } else if ('description' in said && !said.description.includes(`${slug}:`)) {
    said.description += ` ${description}`;
  }
}

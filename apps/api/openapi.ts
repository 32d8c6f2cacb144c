import { API, ProblemDto, PROBLEMS, type ProblemSlug } from '#platform';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';

const DESCRIPTION = `A warehouse for batches of small JSON objects: post a whole batch, find any object by any key or value.

Every resource needs a key: \`Authorization: Bearer <key>\` or \`X-Api-Key: <key>\`. Every error is
\`application/problem+json\` (RFC 9457); its \`type\` leads to the page that explains it.`;

/** What any route with a key may answer besides its own problems. */
const COMMON: readonly ProblemSlug[] = ['unauthenticated', 'forbidden', 'not-acceptable', 'unavailable'];
const WITH_BODY: readonly ProblemSlug[] = ['unsupported-media-type'];

/** OpenAPI of all routes, from the controllers and DTOs themselves. */
export function createOpenApi(app: INestApplication): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Stowage')
    .setDescription(DESCRIPTION)
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer' }, 'bearer')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-Api-Key' }, 'api-key');
  const document = SwaggerModule.createDocument(app, builder.build(), { extraModels: [ProblemDto] });
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of ['get', 'post', 'put', 'patch', 'delete'] as const) {
      const operation = item[method];
      if (operation === undefined) continue;
      const needsKey = path.startsWith(API) && path !== API && path !== `${API}/limits`;
      const slugs = needsKey ? COMMON : (['not-acceptable'] as const);
      for (const slug of [...slugs, ...(operation.requestBody === undefined ? [] : WITH_BODY)]) {
        operation.responses[PROBLEMS[slug].status] ??= problemResponse(slug);
      }
      if (needsKey) operation.security = [{ bearer: [] }, { 'api-key': [] }];
    }
  }
  return document;
}

function problemResponse(slug: ProblemSlug) {
  return {
    description: `${slug}: ${PROBLEMS[slug].title}.`,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/ProblemDto' } } },
  };
}

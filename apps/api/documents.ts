import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { FastifyInstance } from 'fastify';
import { dump } from 'js-yaml';
import { browseDocuments } from './browse.js';
import { guideDocuments } from './guides.js';
import { createOpenApi } from './openapi.js';
import { StaticDocument } from './static-document.js';

const SCRIPT = 'text/javascript; charset=utf-8';

/** Everything comes from this server, and icons may be data: URLs. ReDoc's logo, an image of its maker's server, is blocked. */
const REFERENCE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const SWAGGER_POLICY = `${REFERENCE_POLICY}; style-src 'self'`;

/** ReDoc creates style elements (styled-components), whose text, and so its hash, differs between its versions. */
const REDOC_POLICY = `${REFERENCE_POLICY}; style-src 'unsafe-inline'`;

const SWAGGER_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Stowage API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/index.css">
<link rel="icon" href="/docs/favicon-32x32.png">
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-init.js"></script>
</html>
`;

const SWAGGER_INIT = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#swagger-ui',
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  // The default sends the document to a service on the internet.
  validatorUrl: null,
});
`;

const REDOC_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Stowage API</title>
<style>body { margin: 0 }</style>
<redoc spec-url="/openapi.json" disable-search></redoc>
<script src="/redoc/redoc.js"></script>
</html>
`;

/**
 * Serves the documents at the root of the server: the OpenAPI document, Swagger UI, ReDoc, the guides and the browser page. All files are
 * served from here, so that the reference works without internet access.
 */
export function serveDocuments(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  serve(fastify, documents(app), true);
  serve(fastify, browseDocuments(), false);
}

/** @param allowsAllOrigins whether the pages of other origins may read them */
function serve(
  fastify: FastifyInstance,
  served: Readonly<Record<string, StaticDocument>>,
  allowsAllOrigins: boolean,
): void {
  for (const [url, document] of Object.entries(served)) {
    fastify.route({
      method: 'GET',
      url,
      // Query parameters are accepted and ignored: Swagger UI has some of its own.
      config: {
        roles: 'anyone',
        isApiRoute: true,
        query: true,
        ...(allowsAllOrigins ? { allowsAllOrigins } : {}),
        produces: [document.type.replace(/;.*/, '')],
      },
      handler: (request, reply) => document.send(request, reply),
    });
  }
}

function documents(app: NestFastifyApplication): Record<string, StaticDocument> {
  let created: OpenAPIObject | undefined;
  const openApi = (): OpenAPIObject => (created ??= createOpenApi(app));
  const swaggerPage = page(() => SWAGGER_PAGE, SWAGGER_POLICY);
  return {
    '/openapi.json': new StaticDocument('application/json; charset=utf-8', () => JSON.stringify(openApi())),
    '/openapi.yaml': new StaticDocument('text/yaml; charset=utf-8', () =>
      dump(openApi(), { skipInvalid: true, noRefs: true }),
    ),
    '/docs': swaggerPage,
    '/docs/index.html': swaggerPage,
    '/docs/swagger-ui-init.js': new StaticDocument(SCRIPT, () => SWAGGER_INIT),
    '/docs/swagger-ui-bundle.js': packageFile('swagger-ui-dist/swagger-ui-bundle.js', SCRIPT),
    '/docs/swagger-ui.css': packageFile('swagger-ui-dist/swagger-ui.css', 'text/css; charset=utf-8'),
    '/docs/index.css': packageFile('swagger-ui-dist/index.css', 'text/css; charset=utf-8'),
    '/docs/favicon-32x32.png': packageFile('swagger-ui-dist/favicon-32x32.png', 'image/png'),
    '/redoc': page(() => REDOC_PAGE, REDOC_POLICY),
    '/redoc/redoc.js': packageFile('redoc/bundles/redoc.standalone.js', SCRIPT),
    ...guideDocuments(),
  };
}

function page(build: () => string | Promise<string>, policy: string): StaticDocument {
  return new StaticDocument('text/html; charset=utf-8', build, { policy });
}

/** A file of a dependency, which only an update of the dependency changes. */
function packageFile(name: string, type: string): StaticDocument {
  const path = createRequire(import.meta.url).resolve(name);
  return new StaticDocument(type, () => readFile(path), { cacheControl: 'public, max-age=86400' });
}

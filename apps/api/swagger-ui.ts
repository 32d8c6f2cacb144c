import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SwaggerModule } from '@nestjs/swagger';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { dump } from 'js-yaml';
import { createOpenApi } from './openapi.js';

const PAGES = ['/docs', '/docs/', '/docs/index.html'];

/**
 * Rewrites the relative asset URLs of Swagger UI's page to absolute ones. It derives them from the last character of the
 * request URL, so that they are wrong for `/docs/?x`, `/docs/index.html` and `/docs?x=/`. Call it before the hook that
 * computes the ETag.
 */
export function useAbsoluteAssetUrls(fastify: FastifyInstance): void {
  fastify.addHook('onSend', (request, _reply, payload, done) => {
    const isPage = typeof payload === 'string' && PAGES.includes(request.routeOptions.url ?? '');
    done(null, isPage ? payload.replaceAll(/="\.\/(?:docs\/)?/g, '="/docs/') : payload);
  });
}

/**
 * Serves Swagger UI at `/docs` and the OpenAPI document as JSON and YAML. SwaggerModule's own routes serialize the document
 * for each request: 48 ms as YAML, on two slow cores.
 */
export function serveOpenApi(app: NestFastifyApplication): void {
  const document = createOpenApi(app);
  SwaggerModule.setup('docs', app, document, { raw: false });
  const json = JSON.stringify(document);
  let yaml: string | undefined;
  const http = app.getHttpAdapter();
  http.get('/openapi.json', (_request: FastifyRequest, reply: FastifyReply) => {
    void reply.type('application/json; charset=utf-8').send(json);
  });
  http.get('/openapi.yaml', (_request: FastifyRequest, reply: FastifyReply) => {
    yaml ??= dump(document, { skipInvalid: true, noRefs: true });
    void reply.type('text/yaml; charset=utf-8').send(yaml);
  });
}

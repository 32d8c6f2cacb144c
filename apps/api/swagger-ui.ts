import type { FastifyInstance } from 'fastify';

const PAGES = ['/docs', '/docs/', '/docs/index.html'];

/**
 * Has Swagger UI's page name its scripts in full. Its own names are relative, to what it guesses from the last character
 * of the URL: at `/docs/?x`, at `/docs/index.html` and at `/docs?x=/` they lead nowhere. Call it before the hook that makes
 * the ETag.
 */
export function addressAssets(fastify: FastifyInstance): void {
  fastify.addHook('onSend', (request, _reply, payload, done) => {
    const isPage = typeof payload === 'string' && PAGES.includes(request.routeOptions.url ?? '');
    done(null, isPage ? payload.replaceAll(/="\.\/(?:docs\/)?/g, '="/docs/') : payload);
  });
}

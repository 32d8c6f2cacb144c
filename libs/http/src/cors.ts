import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';

/** Headers of responses that clients use, besides those that browsers always show to scripts, such as Content-Type. */
const EXPOSED_HEADERS = [
  'Accept',
  'Accept-Encoding',
  'Accept-Patch',
  'Allow',
  'ETag',
  'Idempotency-Replayed',
  'Link',
  'Location',
  'Preference-Applied',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
];

/**
 * Lets scripts of these origins use the API. Nothing is sent with credentials of the browser: keys are headers that the script
 * sets. Preflight requests are answered before all other checks, because browsers send them without the key. Other OPTIONS
 * requests get 405, as they do without CORS.
 * @param origins `*` for all
 */
export function allowOrigins(app: NestFastifyApplication, origins: readonly string[]): void {
  const options = {
    origin: origins.includes('*') ? '*' : [...origins],
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    // Any request header is allowed: the default repeats those that the browser asks for.
    exposedHeaders: EXPOSED_HEADERS,
    credentials: false,
    // The longest time in Chrome, two hours.
    maxAge: 7200,
  };
  app.enableCors({
    delegator: (request, done) => {
      done(null, { ...options, preflight: isPreflight(request) });
    },
  });
}

function isPreflight({ method, headers }: FastifyRequest): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined;
}

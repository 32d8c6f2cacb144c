import { isReadRequest, JsonBody } from '#http';
import type { FastifyRequest } from 'fastify';
import { parseIdempotencyKey } from './idempotency-key.js';
import type { ResponseSealer } from './idempotency-seal.js';

/** The Idempotency-Key of an authenticated POST that writes; on other requests the header is ignored. */
export function headerOf(request: FastifyRequest): string | undefined {
  const { headers, method, principal } = request;
  const header = headers['idempotency-key'];
  if (method !== 'POST' || principal === undefined || isReadRequest(request)) return undefined;
  return header === undefined ? undefined : String(header);
}

export function isBadHeader(request: FastifyRequest): boolean {
  const header = headerOf(request);
  return header !== undefined && parseIdempotencyKey(header) === null;
}

/** Everything that distinguishes one use of a key from another. Path parameters are decoded, so spelling does not matter. */
export function scopeOf(request: FastifyRequest): unknown {
  const { principal, routeOptions, params } = request;
  return [
    principal?.projectId,
    principal?.keyId,
    routeOptions.url,
    params,
    parseIdempotencyKey(headerOf(request) ?? ''),
  ];
}

/** Equal for equivalent requests; null for a body that can be read only once. */
export async function fingerprintOf(
  { headers, originalUrl, body }: FastifyRequest,
  sealer: ResponseSealer,
): Promise<Buffer | null> {
  if (body != null && !(body instanceof JsonBody)) return null;
  const mediaType = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  const query = /\?.*/s.exec(originalUrl)?.[0];
  const prefer = String(headers.prefer ?? '')
    .toLowerCase()
    .replace(/\s/g, '');
  return sealer.fingerprintOf([mediaType, query, prefer], body?.bytes);
}

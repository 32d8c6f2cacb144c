import { API, Problem, type Principal, type Role } from '#http';
import { Injectable } from '@nestjs/common';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { KeyService } from './key.service.js';

/**
 * Authenticates and authorizes every request in a Fastify hook, before the body is read. A route of the API without rules
 * is forbidden for every role, so that a forgotten rule cannot open a route.
 */
@Injectable()
export class Authentication {
  constructor(private readonly keys: KeyService) {}

  guard(fastify: FastifyInstance): void {
    fastify.addHook('onRequest', async (request) => {
      const { roles } = request.routeOptions.config;
      if (roles === 'anyone' || !isOfApi(request)) return;
      const principal = await this.authenticate(request);
      if (roles?.includes(principal.role) !== true) throw forbidden(principal.role, roles ?? []);
      request.principal = principal;
    });
  }

  /** @throws Problem unauthenticated */
  private async authenticate(request: FastifyRequest): Promise<Principal> {
    const key = findKey(request);
    const principal = key === undefined ? null : await this.keys.authenticate(key);
    if (principal === null) throw unauthenticated();
    return principal;
  }
}

/** A URL without a route returns 404 to everyone; documents and health need no key. */
function isOfApi(request: FastifyRequest): boolean {
  return !request.is404 && request.routeOptions.url?.startsWith(API) === true;
}

/** Returns the first key of: the bearer, `X-Api-Key`, the headers of the route's rules. An empty header is ignored. */
function findKey({ headers, routeOptions }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (bearer !== undefined) return bearer;
  const values = ['x-api-key', ...(routeOptions.config.keyHeaders ?? [])].map((name) => headers[name]);
  return values.find((value) => typeof value === 'string' && value !== '') as string | undefined;
}

/** The same response for a key that is missing, unknown, malformed, revoked or expired. */
export function unauthenticated(): Problem {
  return new Problem('unauthenticated', {
    detail: 'Send a valid key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`.',
    headers: { 'WWW-Authenticate': 'Bearer realm="stowage"' },
  });
}

function forbidden(role: Role, roles: readonly Role[]): Problem {
  return new Problem('forbidden', { detail: `The role ${role} may not do this; allowed: ${roles.join(', ')}.` });
}

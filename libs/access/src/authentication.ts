import { API, Problem, type Principal, type Role } from '#http';
import { createParamDecorator, Injectable, type ExecutionContext } from '@nestjs/common';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { KeyService } from './key.service.js';

/**
 * The guard of every route, as a Fastify hook: it knows who asks, and refuses who may not, before a byte of the body is
 * read. A route of the API without rules is refused to everyone, so that none can be forgotten.
 */
@Injectable()
export class Authentication {
  constructor(private readonly keys: KeyService) {}

  guard(fastify: FastifyInstance): void {
    fastify.addHook('onRequest', async (request) => {
      const { roles } = request.routeOptions.config;
      if (roles === 'anyone' || !isOfApi(request)) return;
      const principal = await this.identify(request);
      if (roles?.includes(principal.role) !== true) throw forbidden(principal.role, roles ?? []);
      request.principal = principal;
    });
  }

  /** @throws Problem unauthenticated: one answer for a key that is missing, unknown, revoked or expired. */
  private async identify(request: FastifyRequest): Promise<Principal> {
    const key = presentedKey(request);
    const principal = key === undefined ? null : await this.keys.authenticate(key);
    if (principal !== null) return principal;
    throw new Problem('unauthenticated', {
      detail: 'Send a valid key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`.',
      headers: { 'WWW-Authenticate': 'Bearer realm="stowage"' },
    });
  }
}

/** Addresses that lead nowhere have no rules and tell nothing; documents and health are not of the API. */
function isOfApi(request: FastifyRequest): boolean {
  return !request.is404 && request.routeOptions.url?.startsWith(API) === true;
}

/** The first that is there: the bearer, `X-Api-Key`, then the headers that the route names. An empty one counts as none. */
function presentedKey({ headers, routeOptions }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (bearer !== undefined) return bearer;
  const values = ['x-api-key', ...(routeOptions.config.keyHeaders ?? [])].map((name) => headers[name]);
  return values.find((value) => typeof value === 'string' && value !== '') as string | undefined;
}

function forbidden(role: Role, roles: readonly Role[]): Problem {
  return new Problem('forbidden', { detail: `A key of the role ${role} may not do this; ${roles.join(', ')} may.` });
}

/** Who sends the request. */
export const CurrentPrincipal = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const { principal } = context.switchToHttp().getRequest<FastifyRequest>();
  if (principal === undefined) throw new Error('a route without a key asked who sent the request');
  return principal;
});

/** The project whose key sent the request. */
export function projectIdOf({ principal }: FastifyRequest): number {
  if (principal?.projectId == null) throw new Error('a route that an operator may use asked for the project');
  return principal.projectId;
}

export const ProjectId = createParamDecorator((_: unknown, context: ExecutionContext): number =>
  projectIdOf(context.switchToHttp().getRequest<FastifyRequest>()),
);

import { DeniedRequests } from '#audit';
import { API, Problem, PROBLEMS, type Principal, type Role } from '#http';
import { RateLimits } from '#limits';
import { EncryptedKeys } from '#encryption';
import { Config, MissingDataKeyError } from '#platform';
import { hasToken } from '#telemetry';
import { Injectable } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CanaryAlerts, type CanaryKey } from './canary-alerts.js';
import { KeyVerifier } from './key-verifier.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whether the key of the request still works, for a response that lasts: a revoked key must not read on. */
    isKeyValid(): Promise<boolean>;
  }
}

/**
 * Authenticates and authorizes every request in a Fastify hook, before the body is read. A route of the API without rules
 * is forbidden for every role, so that a forgotten rule cannot open a route.
 */
@Injectable()
export class Authentication {
  constructor(
    private readonly keys: KeyVerifier,
    private readonly limits: RateLimits,
    private readonly denied: DeniedRequests,
    private readonly canaries: CanaryAlerts,
    private readonly encryption: EncryptedKeys,
    private readonly config: Config,
  ) {}

  guard(fastify: FastifyInstance): void {
    const { keys } = this;
    fastify.decorateRequest('isKeyValid', async function () {
      const found = await keys.authenticate(findKey(this) ?? '');
      return found !== null && !('isCanary' in found) && found.role === this.principal?.role;
    });
    fastify.addHook('onRequest', async (request, reply) => {
      const { roles } = request.routeOptions.config;
      if (roles === 'anyone' || !isGuarded(request) || this.hasMetricsToken(request)) return;
      const principal = await this.authenticate(request, reply);
      request.principal = principal;
      this.limits.admit(principal);
      if (roles?.includes(principal.role) !== true) throw forbidden(principal.role, roles ?? []);
      this.requireDataKeys(principal);
    });
    // Also those that a handler rejects.
    fastify.addHook('onResponse', (request, reply, done) => {
      if (reply.statusCode === PROBLEMS.forbidden.status && request.principal !== undefined) this.denied.add(request);
      done();
    });
  }

  /**
   * Of an address that has failed too often, only keys that have worked before are looked up, so that those who share the
   * address with an attacker can continue. It gets the same 429 for every other key, also for one that is looked up because it
   * has worked, and was revoked since.
   * @throws Problem unauthenticated; rate-limited
   */
  private async authenticate(request: FastifyRequest, reply: FastifyReply): Promise<Principal> {
    const key = findKey(request);
    if (key === undefined) throw unauthenticated();
    const isAddressExhausted = this.limits.isAddressExhausted(request);
    if (isAddressExhausted && !this.keys.hasWorked(key)) throw this.limits.addressExceeded(request);
    const found = await this.keys.authenticate(key);
    if (found !== null && !('isCanary' in found)) return found;
    if (found !== null) this.alertAfter(reply, found, request);
    this.limits.chargeFailure(request);
    throw isAddressExhausted ? this.limits.addressExceeded(request) : unauthenticated();
  }

  /** @throws Problem unavailable; a value could be read as it is stored, or stored in plain text. It was logged once */
  private requireDataKeys({ projectId }: Principal): void {
    if (projectId === null || this.encryption.isReadable(projectId)) return;
    throw new Problem('unavailable', { detail: new MissingDataKeyError().message });
  }

  private hasMetricsToken({ routeOptions, headers }: FastifyRequest): boolean {
    const { token } = this.config.metrics;
    return routeOptions.config.takesMetricsToken === true && token !== null && hasToken(headers.authorization, token);
  }

  /** Reports a canary key when the response has been sent, or the client has left. */
  private alertAfter(reply: FastifyReply, canary: CanaryKey, request: FastifyRequest): void {
    const report = (): void => {
      this.canaries.add(canary, request);
    };
    if (reply.raw.closed) report();
    else reply.raw.once('close', report);
  }
}

/** A URL without a route returns 404 to everyone. Outside of the API, only routes with roles need a key. */
function isGuarded({ is404, routeOptions: { url, config } }: FastifyRequest): boolean {
  return !is404 && (config.roles !== undefined || url?.startsWith(API) === true);
}

/** Returns the first key of: the bearer, `X-Api-Key`, the headers of the route's rules. An empty header is ignored. */
function findKey({ headers, routeOptions }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (bearer !== undefined) return bearer;
  const values = ['x-api-key', ...(routeOptions.config.keyHeaders ?? [])].map((name) => headers[name]);
  return values.find((value) => typeof value === 'string' && value !== '') as string | undefined;
}

/** The same response for a key that is missing, unknown, malformed, revoked, expired or a canary. */
export function unauthenticated(): Problem {
  return new Problem('unauthenticated', {
    detail: 'Send a valid key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`.',
    headers: { 'WWW-Authenticate': 'Bearer realm="stowage"' },
  });
}

function forbidden(role: Role, roles: readonly Role[]): Problem {
  return new Problem('forbidden', { detail: `The role ${role} may not do this; allowed: ${roles.join(', ')}.` });
}

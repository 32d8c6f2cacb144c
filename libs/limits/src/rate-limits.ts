import { clientAddressOf, Problem, type Principal } from '#http';
import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { addressGroupOf } from './address-group.js';
import type { CountCombiner } from './count-combiner.js';
import type { LimitTimes } from './limit-times.js';
import type { CounterId, RateLimit } from './rate-limit.js';

/** The limits of an installation; null for one that is off. */
export interface LimitsInUse {
  key: RateLimit | null;
  project: RateLimit | null;
  address: RateLimit | null;
}

/**
 * Limits the items per minute of each key and project, and the failed authentications of each address. A request costs one
 * item, and one that writes or deletes several objects costs their number. That number is known at the end of the request, so
 * a request is accepted while anything is left, and may exceed the limit.
 */
@Injectable()
export class RateLimits implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    private readonly limits: LimitsInUse,
    private readonly times: LimitTimes,
    private readonly combiner: CountCombiner | null,
  ) {}

  onApplicationBootstrap(): void {
    this.combiner?.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.combiner?.stop();
  }

  /** Adds the hook that charges the objects of a request and sets the RateLimit fields of its response. */
  guard(fastify: FastifyInstance): void {
    if (this.limits.key === null && this.limits.project === null) return;
    fastify.addHook('onSend', (request, reply, _payload, done) => {
      if (request.principal !== undefined) this.finish(request.principal, reply);
      done();
    });
  }

  /** Charges a request that has arrived. @throws Problem rate-limited where nothing is left for its key or its project */
  admit(principal: Principal): void {
    const { key, project } = this.limits;
    const { keyId, projectId } = principal;
    if (key?.isExhausted(keyId) === true) throw this.exceeded(key, keyId);
    if (projectId !== null && project?.isExhausted(projectId) === true) throw this.exceeded(project, projectId);
    this.charge(principal, 1);
  }

  /** Charges items that are not those of a request, such as the objects of a job. */
  charge({ keyId, projectId }: Pick<Principal, 'keyId' | 'projectId'>, items: number): void {
    this.limits.key?.charge(keyId, items);
    if (projectId !== null) this.limits.project?.charge(projectId, items);
  }

  /** Whether the address of a request has failed to authenticate too often in this minute. */
  isAddressExhausted(request: FastifyRequest): boolean {
    const { address } = this.limits;
    // Finding the group of an IPv6 address costs more than the rest.
    return address?.hasExhausted === true && address.isExhausted(groupOf(request));
  }

  chargeFailure(request: FastifyRequest): void {
    this.limits.address?.charge(groupOf(request), 1);
  }

  addressExceeded(request: FastifyRequest): Problem {
    if (this.limits.address === null) throw new Error('addresses are not limited');
    return this.exceeded(this.limits.address, groupOf(request));
  }

  private finish(principal: Principal, reply: FastifyReply): void {
    const { key, project } = this.limits;
    const { keyId, projectId } = principal;
    const { chargedItems = 1 } = reply;
    if (chargedItems > 1) {
      this.charge(principal, chargedItems - 1);
      // The hook runs again where a later one replaces the response by an error.
      reply.chargedItems = 1;
    }
    const policies: string[] = [];
    const states: string[] = [];
    if (key !== null) {
      policies.push(this.policyOf(key));
      states.push(stateOf(key, keyId));
    }
    if (project !== null && projectId !== null) {
      policies.push(this.policyOf(project));
      states.push(stateOf(project, projectId));
    }
    if (policies.length > 0)
      reply.header('RateLimit-Policy', policies.join(', ')).header('RateLimit', states.join(', '));
  }

  private exceeded(limit: RateLimit, id: CounterId): Problem {
    const seconds = String(secondsOf(limit.stateOf(id).endsInMs));
    const subject = limit.name === 'address' ? 'failed authentications of this address' : `items of this ${limit.name}`;
    const max = limit.max.toLocaleString('en');
    return new Problem('rate-limited', {
      detail: `The ${subject} are limited to ${max} per ${String(this.times.windowMs / 1_000)} seconds; retry in ${seconds} seconds.`,
      headers: {
        'Retry-After': seconds,
        // Those of a key and its project are set when the response is sent.
        ...(limit.name === 'address' && {
          'RateLimit-Policy': this.policyOf(limit),
          RateLimit: stateOf(limit, id),
        }),
      },
    });
  }

  private policyOf({ name, max }: RateLimit): string {
    return `"${name}";q=${String(max)};w=${String(this.times.windowMs / 1_000)}`;
  }
}

function groupOf(request: FastifyRequest): string {
  return addressGroupOf(clientAddressOf(request));
}

/** The item of a limit in the RateLimit field (draft-ietf-httpapi-ratelimit-headers): what is left, and for how long. */
function stateOf(limit: RateLimit, id: CounterId): string {
  const { remaining, endsInMs } = limit.stateOf(id);
  return `"${limit.name}";r=${String(remaining)};t=${String(secondsOf(endsInMs))}`;
}

function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1_000));
}

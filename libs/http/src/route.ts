import { applyDecorators } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiExtension, ApiSecurity } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';

/** The path prefix of all resources; documents, health and metrics are at the root. */
export const API = '/api/v1';

export const ROLES = ['operator', 'admin', 'producer', 'analyst', 'device'] as const;
/** The role of an API key, which determines its permissions. */
export type Role = (typeof ROLES)[number];

/**
 * The largest bodies of routes that take one small body, in bytes, by their names in /api/v1/limits. Other routes accept
 * BODY_LIMIT_BYTES, and none accepts more.
 */
export const BODY_LIMITS = {
  /** A firmware report has about 100 bytes; the rest is room for long version numbers. */
  report_limit_bytes: 16 * 1024,
  /** Keys, projects and devices: a few names of at most 255 characters, which take at most 12 bytes each as JSON escapes. */
  management_limit_bytes: 64 * 1024,
  /** An object, on its own, in a batch and as a line of a stream. Parsing more at once would delay other requests. */
  object_limit_bytes: 1024 * 1024,
} as const;

interface RouteRules {
  /** The roles that may use the route; `anyone` needs no key. */
  roles: readonly Role[] | 'anyone';
  /**
   * Further headers, in lower case, that may carry the key, after `Authorization` and `X-Api-Key`. Only the firmware routes
   * have any: their clients are devices that cannot be changed.
   */
  keyHeaders?: readonly string[];
  /** The media types that the body may have. */
  consumes?: readonly string[];
  /** The largest JSON body; default BODY_LIMIT_BYTES. */
  bodyLimit?: keyof typeof BODY_LIMITS;
  /** Other media types, each with the route that accepts it, such as "PUT /batches/{batch_id}"; for the error. */
  consumedBy?: Readonly<Record<string, string>>;
  /** The route has query parameters, validated by its DTO; other routes reject all parameters. */
  query?: true;
  /**
   * Requests that arrive together share a statement and its connection, so they take no slot of `RequestSlots`. Those with an
   * Idempotency-Key or `Prefer`, which have a transaction of their own, do.
   */
  sharesWrites?: true;
  /**
   * A POST that only reads, such as a search: its queries end with the request like those of a GET, it works while the disk is
   * full, and an Idempotency-Key has no effect.
   */
  isRead?: true;
  /**
   * The queries of the route may run on a read replica, whose data is at most DATABASE_READ_LAG_MAX_MS old. For routes that look at
   * many objects: they must only read, and no client may rely on them for what it has just written.
   */
  usesReplica?: true;
  /** METRICS_TOKEN may be sent in place of a key. */
  takesMetricsToken?: true;
  /** Scripts of every origin may read the responses, whatever CORS_ORIGINS is: those of documents. */
  allowsAllOrigins?: true;
  /** The media types of the response, the preferred one first; default application/json. */
  produces?: readonly string[];
}

declare module 'fastify' {
  interface FastifyContextConfig extends Partial<RouteRules> {
    /** Set on the routes of Stowage; unset on those that a library adds, such as Swagger UI's. */
    isApiRoute?: true;
  }
  interface FastifyReply {
    /** The number of objects or batches in the response, for the log. */
    itemCount?: number;
    /** The number of objects that the request wrote, deleted, or had read when it failed; the rate limits count it; default 1. */
    chargedItems?: number;
  }
}

/**
 * The roles and media types of a handler. They are stored in the configuration of Fastify's route, because they are checked
 * before the body is read; a Nest guard would run too late. The OpenAPI document has the roles as `x-roles`, a POST
 * that only reads as `x-reads`, and the further headers as security schemes.
 */
export function Rules(rules: RouteRules): MethodDecorator {
  const { roles, keyHeaders = [] } = rules;
  return applyDecorators(
    RouteConfig({ ...rules, isApiRoute: true }),
    ...(roles === 'anyone' ? [] : [ApiExtension('x-roles', roles)]),
    ...(rules.isRead === undefined ? [] : [ApiExtension('x-reads', true)]),
    ...keyHeaders.map((header) => ApiSecurity(header)),
  );
}

/** Whether a request only reads. */
export function isReadRequest(request: Pick<FastifyRequest, 'method' | 'routeOptions'>): boolean {
  const { method } = request;
  // `routeOptions` is a getter that builds an object.
  return method === 'GET' || method === 'HEAD' || request.routeOptions.config.isRead === true;
}

import { applyDecorators } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiExtension, ApiSecurity } from '@nestjs/swagger';

/** Where every resource is; documents, health and metrics are at the root. */
export const API = '/api/v1';

export const ROLES = ['operator', 'admin', 'producer', 'analyst', 'device'] as const;
/** What a key may do; the contract's "Keys and roles". */
export type Role = (typeof ROLES)[number];

/** Who sends a request, as its key says. */
export interface Principal {
  keyId: string;
  role: Role;
  /** null for an operator, who has no data. */
  projectId: number | null;
  /** The one device that a key of the role device is bound to. */
  deviceId: string | null;
}

interface RouteRules {
  /** Who may use the route; anyone needs no key. */
  roles: readonly Role[] | 'anyone';
  /**
   * More headers, in lower case, that the route takes the key in, after `Authorization` and `X-Api-Key`. Only the firmware
   * door has any: its clients are devices that send the names of other systems, and cannot be changed.
   */
  keyHeaders?: readonly string[];
  /** The media types of the body it takes, one or more. */
  consumes?: readonly string[];
  /** Other media types, with the route that takes them: "PUT /batches/{batch_id}"; for the error message. */
  consumedBy?: Readonly<Record<string, string>>;
  /** It takes query parameters, which its DTO checks; any other route refuses them all. */
  query?: true;
  /** The media types it answers in, the preferred one first; default application/json. */
  produces?: readonly string[];
}

declare module 'fastify' {
  interface FastifyContextConfig extends Partial<RouteRules> {
    /** The route is ours, not a library's. */
    ours?: true;
  }
  interface FastifyRequest {
    /** Set by the access lib before anything else sees the request; absent on routes that need no key. */
    principal?: Principal;
  }
  interface FastifyReply {
    /** How many objects or batches the answer is about, for the log. */
    itemCount?: number;
  }
}

/**
 * Who may use a handler and which media types it takes and gives. The rules go into Fastify's route, not into Nest's
 * metadata: they are checked before the body is read, which a Nest guard would be too late for. The OpenAPI document has
 * the roles as `x-roles`, and the further headers as what the route asks for.
 */
export function Rules(rules: RouteRules): MethodDecorator {
  const { roles, keyHeaders = [] } = rules;
  return applyDecorators(
    RouteConfig({ ...rules, ours: true }),
    ...(roles === 'anyone' ? [] : [ApiExtension('x-roles', roles)]),
    ...keyHeaders.map((header) => ApiSecurity(header)),
  );
}

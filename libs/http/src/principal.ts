import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Role } from './route.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the access lib before all other hooks; absent on routes without a key. */
    principal?: Principal;
  }
}

/** The sender of a request, by its API key. */
export interface Principal {
  keyId: string;
  /** The name of the key when it was authenticated. */
  keyName: string;
  role: Role;
  /** Null for an operator, who has no data. */
  projectId: number | null;
  /** The device that a key of the role device is bound to; null for other roles. */
  deviceId: string | null;
}

/** The principal of the request. */
export const CurrentPrincipal = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const { principal } = context.switchToHttp().getRequest<FastifyRequest>();
  if (principal === undefined) throw new Error('a route without authentication has no principal');
  return principal;
});

/** The project of the principal. */
export function projectIdOf({ principal }: FastifyRequest): number {
  if (principal?.projectId == null) throw new Error('an operator has no project');
  return principal.projectId;
}

/** The project that shares memory and processor time with others; null for all operators together. */
export function ownerOf({ principal }: FastifyRequest): number | null {
  return principal?.projectId ?? null;
}

export const ProjectId = createParamDecorator((_: unknown, context: ExecutionContext): number =>
  projectIdOf(context.switchToHttp().getRequest<FastifyRequest>()),
);

import { clientAddressOf, type Role } from '#http';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

/** Who does something, and the request that it was sent with. Plain data, so that a job can store it. */
export interface Actor {
  /** The key of the request; null for the command line and for the first start of a server, which have none. */
  keyId: string | null;
  /** The role of the key; null without a key. */
  role: Role | null;
  /** The name of the key when the request was authenticated; without a key, what acted. */
  name: string;
  requestId: string | null;
  /** The address of the client, as TRUSTED_PROXIES determine it. */
  address: string | null;
}

const WITHOUT_KEY = { keyId: null, role: null, requestId: null, address: null };
export const COMMAND_LINE: Actor = { ...WITHOUT_KEY, name: 'command line' };
export const FIRST_START: Actor = { ...WITHOUT_KEY, name: 'first start' };

/** Deletes old objects in the background. */
export const RETENTION: Actor = { ...WITHOUT_KEY, name: 'retention' };

/** Encrypts and decrypts stored values in the background. */
export const REENCRYPTION: Actor = { ...WITHOUT_KEY, name: 'encryption' };

/** The actor of an authenticated request. */
export function actorOf(request: FastifyRequest): Actor {
  const { principal, id } = request;
  if (principal === undefined) throw new Error('a request without authentication has no actor');
  const { keyId, role, keyName } = principal;
  return { keyId, role, name: keyName, requestId: id, address: clientAddressOf(request) };
}

export const CurrentActor = createParamDecorator((_: unknown, context: ExecutionContext): Actor =>
  actorOf(context.switchToHttp().getRequest<FastifyRequest>()),
);

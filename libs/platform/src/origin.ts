import type { FastifyRequest } from 'fastify';

/** Scheme and host as the client sees them, for absolute URLs; a Host header that is none does not get into one. */
export function originOf(request: FastifyRequest): string {
  const host = /^[\w.:[\]-]+$/.test(request.host) ? request.host : 'localhost';
  return `${request.protocol}://${host}`;
}

/** The address asked for, complete. */
export function urlOf(request: FastifyRequest): URL {
  return new URL(originOf(request) + request.originalUrl);
}

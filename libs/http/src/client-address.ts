import type { FastifyRequest } from 'fastify';

/** Long enough for every IPv6 address with a zone. */
const ADDRESS_LENGTH_MAX = 64;

/**
 * The address of the client, as TRUSTED_PROXIES determine it. A trusted proxy that passes `X-Forwarded-For` on lets the client
 * choose its text, up to the size of the headers: it is cut, because it is kept in memory and stored. `unknown` (RFC 7239) where
 * the client closed the connection before the server accepted it.
 */
export function clientAddressOf({ ip }: { ip: FastifyRequest['ip'] | undefined }): string {
  return ip?.slice(0, ADDRESS_LENGTH_MAX) ?? 'unknown';
}

import type { IncomingMessage } from 'node:http';
import accepts from 'accepts';
import type { FastifyReply, FastifyRequest } from 'fastify';

/**
 * The media type that Accept prefers; undefined where it allows none of them. Parameters of a media range other than the
 * weight do not exclude a type: `application/json; charset=utf-8` means JSON.
 * @param types the available types; the first one wins where the client has no preference
 */
export function preferredType(
  { headers }: Pick<FastifyRequest, 'headers'>,
  types: readonly string[],
): string | undefined {
  if (headers.accept === undefined) return types[0];
  const ranges = headers.accept.replace(/;(?!\s*q\s*=)[^;,="]*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^;,]*))?/gi, '');
  const preferred = accepts({ headers: { accept: ranges } } as IncomingMessage).type([...types]);
  return typeof preferred === 'string' ? preferred : undefined;
}

/** Whether the client prefers gzip to no compression. */
export function acceptsGzip({ headers }: Pick<FastifyRequest, 'headers'>): boolean {
  const encoding = headers['accept-encoding'];
  return (
    encoding !== undefined &&
    accepts({ headers: { 'accept-encoding': encoding } } as IncomingMessage).encoding(['gzip', 'identity']) === 'gzip'
  );
}

/** Adds the name of a request header that the response depends on to Vary, once; CORS may have added another one. */
export function addVary(reply: FastifyReply, name: string): void {
  const names = reply.getHeader('vary');
  if (names === undefined) reply.header('Vary', name);
  else if (!String(names).split(', ').includes(name)) reply.header('Vary', `${String(names)}, ${name}`);
}

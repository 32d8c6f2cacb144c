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

/**
 * The content coding that Accept-Encoding prefers; undefined where the client prefers no compression.
 * @param codings the available codings; the first one wins where several have the same weight
 */
export function preferredCoding<Coding extends string>(
  { headers }: Pick<FastifyRequest, 'headers'>,
  codings: readonly Coding[],
): Coding | undefined {
  const header = headers['accept-encoding'];
  if (header === undefined) return undefined;
  const preferred = accepts({
    headers: { 'accept-encoding': sortCodings(header, codings) },
  } as IncomingMessage).encoding([...codings, 'identity']);
  return codings.find((coding) => coding === preferred);
}

/** `accepts` takes the first one of equal weight. Clients send theirs in no order of preference: curl sends zstd last. */
function sortCodings(header: string, codings: readonly string[]): string {
  const items = header.split(',');
  if (items.length === 1) return header;
  const rank = (item: string): number => {
    const index = codings.indexOf(item.replace(/;.*/s, '').trim().toLowerCase());
    return index === -1 ? codings.length : index;
  };
  return items.sort((one, other) => rank(one) - rank(other)).join();
}

/** Adds the name of a request header that the response depends on to Vary, once; CORS may have added another one. */
export function addVary(reply: FastifyReply, name: string): void {
  const names = reply.getHeader('vary');
  if (names === undefined) reply.header('Vary', name);
  else if (!String(names).split(', ').includes(name)) reply.header('Vary', `${String(names)}, ${name}`);
}

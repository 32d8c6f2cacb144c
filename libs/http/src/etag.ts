import { hash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from './problems.js';

/** A strong entity tag: a digest of the representation, so that equal tags mean equal bytes. */
export function etagOf(representation: string): string {
  return `"${hash('sha256', representation, 'base64url').slice(0, 22)}"`;
}

/** Whether an If-None-Match names this tag; compares weakly (RFC 9110, section 13.1.2). */
function namesTag(header: string, etag: string): boolean {
  const opaque = etag.replace(/^W\//, '');
  return header.trim() === '*' || (header.match(/"[^"]*"/g) ?? []).some((one) => one === opaque);
}

/** @throws Problem precondition-failed unless If-Match names this tag; compares strongly (RFC 9110, section 13.1.1). */
export function requireMatch(ifMatch: string | undefined, etag: string): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const strong = ifMatch.split(',').map((one) => one.trim());
  if (strong.includes(etag)) return;
  throw new Problem('precondition-failed', {
    detail: 'If-Match does not name the present ETag; read it again and apply your change to that.',
    headers: { ETag: etag },
  });
}

/**
 * Gives every successful read an ETag and a Cache-Control, and answers 304 when the client has it already. A cache may
 * keep an answer but has to ask each time: a read after a write is fresh.
 */
export function answerConditionalGet(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
  done: (error: null, payload?: unknown) => void,
): void {
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!isRead || reply.statusCode !== 200) {
    done(null, payload);
    return;
  }
  if (!reply.hasHeader('cache-control')) reply.header('Cache-Control', 'private, no-cache');
  if (!reply.hasHeader('etag') && typeof payload === 'string') reply.header('ETag', etagOf(payload));
  const etag = reply.getHeader('etag');
  const known = request.headers['if-none-match'];
  if (known === undefined || typeof etag !== 'string' || !namesTag(known, etag)) {
    done(null, payload);
    return;
  }
  reply.code(304).removeHeader('content-type').removeHeader('content-length');
  // Fastify takes the body from an answer to HEAD itself, and cannot do so where there is none any more.
  done(null, request.method === 'HEAD' ? payload : null);
}

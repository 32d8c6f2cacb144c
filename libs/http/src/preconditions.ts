import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '#platform';
import { codedTag, negotiateCoding, withoutCoding } from './compression.js';
import { etagOf } from './etag.js';
import { Problem } from './problems.js';

/** Headers that describe the content, which a 304 has not. */
const OF_CONTENT = ['content-type', 'content-length', 'content-encoding'];

/** The precondition headers of a request as they were sent; plain data, so that a job can keep them. */
export interface Preconditions {
  ifMatch?: string | undefined;
  ifNoneMatch?: string | undefined;
}

export function preconditionsOf({ headers }: Pick<FastifyRequest, 'headers'>): Preconditions {
  return { ifMatch: headers['if-match'], ifNoneMatch: headers['if-none-match'] };
}

/**
 * Evaluates the preconditions of an unsafe method (PUT, PATCH, DELETE) in the order of RFC 9110, section 13.2.2. Call it
 * under the lock that protects the change, after authorization and validation, and only where the request would succeed
 * without preconditions (section 13.2.1): a method that cannot create a resource returns 404 for a missing one before this check.
 * @param etag the current strong ETag; null where the resource does not exist and the method would create it
 * @param rules `requireIfMatch` rejects changes of an existing resource without If-Match; a request that creates one needs none
 * @throws Problem precondition-failed (412, with the current ETag); precondition-required (428)
 */
export function checkPreconditions(
  sent: Preconditions,
  etag: string | null,
  { requireIfMatch }: Pick<Config['rules'], 'requireIfMatch'>,
): void {
  const ifMatch = withoutCoding(sent.ifMatch);
  const ifNoneMatch = withoutCoding(sent.ifNoneMatch);
  if (ifMatch !== undefined && !isMatch(ifMatch, etag)) {
    const detail =
      etag === null
        ? 'If-Match requires an existing resource; nothing exists at this URL.'
        : 'If-Match does not name the current ETag; read the resource again and repeat the change on its current state.';
    throw failed(detail, etag);
  }
  if (ifNoneMatch !== undefined && isWeakMatch(ifNoneMatch, etag)) {
    const detail =
      ifNoneMatch.trim() === '*'
        ? 'If-None-Match: * requires that the resource does not exist, but it does.'
        : 'If-None-Match names the current ETag.';
    throw failed(detail, etag);
  }
  if (requireIfMatch && ifMatch === undefined && etag !== null) {
    throw new Problem('precondition-required', {
      detail: 'This server requires If-Match: read the resource and send the ETag of the response.',
    });
  }
}

/**
 * The problem of a POST, or of a DELETE by a filter, with a precondition that cannot be fulfilled. They change resources below
 * their URL, whose own representation, such as a page of a list, is not what a client wants to protect: ignoring the header
 * would be unsafe. Checked before the body is read: only the execution of the request could show whether it would succeed
 * otherwise (RFC 9110, section 13.2.1).
 */
export function listPreconditionProblem(request: FastifyRequest): Problem | undefined {
  const { ifMatch, ifNoneMatch } = preconditionsOf(request);
  const { method } = request;
  if (ifMatch !== undefined && ifMatch.trim() !== '*') {
    const remedy =
      method === 'POST' ? 'change an existing resource with PUT or PATCH' : 'delete the resources one at a time';
    return failed(`If-Match with an ETag cannot be used with ${method} here; ${remedy}.`, null);
  }
  if (ifNoneMatch?.trim() === '*')
    return failed(
      `If-None-Match: * cannot be used with ${method} here, because the resource at this URL exists.`,
      null,
    );
  return undefined;
}

/**
 * Decides whether the response is compressed. Adds an ETag and a Cache-Control to every successful read, and responds 304 where
 * If-None-Match names the ETag. A cache may keep a response but has to revalidate it each time, so that a read after a write is fresh.
 */
export function respondToConditionalGet(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
  done: (error: null, payload?: unknown) => void,
): void {
  negotiateCoding(request, reply, payload);
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!isRead || reply.statusCode !== 200) {
    done(null, payload);
    return;
  }
  if (!reply.hasHeader('cache-control')) reply.header('Cache-Control', 'private, no-cache');
  if (!reply.hasHeader('etag') && typeof payload === 'string') reply.header('ETag', etagOf(payload));
  if (reply.contentCoding !== null && reply.hasHeader('etag'))
    reply.header('ETag', codedTag(String(reply.getHeader('etag')), reply.contentCoding));
  const etag = reply.getHeader('etag');
  const { ifNoneMatch } = preconditionsOf(request);
  const isNotModified = ifNoneMatch !== undefined && typeof etag === 'string' && isWeakMatch(ifNoneMatch, etag);
  // A stream that is not sent would keep its source open, such as a snapshot of the database.
  if (payload instanceof Readable && (isNotModified || request.method === 'HEAD')) payload.destroy();
  if (!isNotModified) {
    done(null, payload);
    return;
  }
  reply.code(304);
  for (const name of OF_CONTENT) reply.removeHeader(name);
  // Fastify removes the body of a response to HEAD itself, and fails where there is none.
  done(null, request.method === 'HEAD' ? payload : null);
}

/** Strong comparison (RFC 9110, section 13.1.1): a weak tag never matches. */
function isMatch(header: string, etag: string | null): boolean {
  if (etag === null) return false;
  return header.trim() === '*' || tagsIn(header).includes(etag);
}

/** Weak comparison (RFC 9110, section 13.1.2). */
function isWeakMatch(header: string, etag: string | null): boolean {
  if (etag === null) return false;
  return header.trim() === '*' || tagsIn(header).some((tag) => opaque(tag) === opaque(etag));
}

/** The entity tags of a list; a comma inside the quotes is part of the tag. */
function tagsIn(header: string): string[] {
  return header.match(/(?:W\/)?"[^"]*"/gi) ?? [];
}

function opaque(tag: string): string {
  return tag.replace(/^W\//, '');
}

function failed(detail: string, etag: string | null): Problem {
  return new Problem('precondition-failed', { detail, headers: etag === null ? {} : { ETag: etag } });
}

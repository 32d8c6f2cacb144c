import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Readable } from 'node:stream';
import type { Config } from '#platform';
import { bodyTooLarge } from './body-limit.js';
import { BodyPace, PACE, type Pace } from './body-pace.js';
import { plainBytes, plainStream } from './body-start.js';
import { collectBody } from './collect-body.js';
import { discardRest } from './discard-rest.js';
import { bodyStream, type Encoding, type InflateLimit } from './inflate.js';
import { JsonBody } from './json-body.js';
import { isStreamType, RequestStream } from './request-stream.js';
import { sendProblem } from './problem.filter.js';
import { ownerOf } from './principal.js';
import { Problem } from './problems.js';
import type { RequestMemory } from './request-memory.js';
import { BODY_LIMITS } from './route.js';

/** The supported content codings, for `Accept-Encoding`. */
const ENCODINGS = 'gzip, zstd, identity';
/** A Map, because a client may send the name of a member of Object.prototype. */
const BY_CODING: ReadonlyMap<string, Encoding> = new Map([
  ['', 'identity'],
  ['identity', 'identity'],
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['zstd', 'zstd'],
]);

/** A stream is decompressed in constant memory, and real ones may begin with lines that are all alike. */
const STREAM_RATIO_FREE_BYTES = 64 * 1024 * 1024;
/** A JSON body is held in memory; this much of it is harmless. */
const JSON_RATIO_FREE_BYTES = 1024 * 1024;

/**
 * Reads the bodies of all routes: decompresses them, enforces limits and the minimum rate, and passes them on as `JsonBody`
 * or `RequestStream`. A body is read only if its route takes one and all hooks have accepted the request; `100 Continue` is sent
 * then. Call it before adding hooks that reject requests.
 */
export function prepareBodies(
  fastify: FastifyInstance,
  { limits }: Pick<Config, 'limits'>,
  memory: RequestMemory,
  pace: Pace = PACE,
): void {
  const bodies = new BodyPace(pace);
  fastify.removeAllContentTypeParsers();
  // One parser for all types, which `bodyProblem` has checked. Fastify's own parsers would also read the bodies of routes that
  // take none.
  fastify.addContentTypeParser('*', (request, payload: Readable, done) => {
    const { consumes } = request.routeOptions.config;
    if (consumes === undefined) {
      done(null);
      return;
    }
    const mediaType = mediaTypeOf(request);
    if (isStreamType(mediaType)) {
      const stop = (error: Problem): void => {
        payload.destroy(error);
      };
      done(null, new RequestStream(mediaType, plainStream(payload), 'client', stop));
      return;
    }
    const limit = limitOf(request, limits);
    const isCompressed = encodingOf(request) !== 'identity';
    const ofBody = memory.forBody(request, isCompressed, limit.bytes, () => {
      bodies.reject(request.raw);
    });
    const declared = request.headers['content-length'];
    const sizeBytes = isCompressed || declared === undefined ? undefined : Number(declared);
    collectBody(payload, limit, ofBody, sizeBytes, (error, bytes = Buffer.alloc(0)) => {
      if (error !== null) {
        done(error);
        return;
      }
      let body: JsonBody;
      try {
        body = new JsonBody(plainBytes(bytes), limit, ownerOf(request));
      } catch (problem) {
        done(problem as Problem);
        return;
      }
      done(null, body);
    });
  });
  const { server } = fastify;
  // A listener, not a hook: a path that cannot be decoded is rejected before any hook, and its body has to be watched too.
  server.prependListener('request', (raw) => {
    if (!raw.complete && hasBody(raw)) bodies.watch(raw);
  });
  // Node.js would send 100 Continue at once, also to unauthenticated clients; `preParsing` sends it when all hooks have
  // passed. After a rejection the client may or may not send the body, so the connection cannot be reused.
  server.on('checkContinue', (raw, response) => {
    response.setHeader('Connection', 'close');
    server.emit('request', raw, response);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    // Without content, Content-Type is ignored, where Fastify would reject an unknown one. It counts only where the route
    // accepts the type: NDJSON without lines is a batch without objects.
    if (!hasBody(request.raw) && request.routeOptions.config.consumes?.includes(mediaTypeOf(request)) !== true)
      delete request.raw.headers['content-type'];
    bodies.rejectWith(request.raw, () => {
      if (reply.sent) request.raw.socket.destroy();
      else sendProblem(tooSlow(), request, reply);
    });
    done();
  });
  fastify.addHook('preParsing', (request, reply, payload, done) => {
    if (request.routeOptions.config.consumes === undefined || !hasBody(request.raw)) {
      done(null, payload);
      return;
    }
    const isStream = isStreamType(mediaTypeOf(request));
    const limit = limitOf(request, limits);
    if (!isStream && Number(request.headers['content-length']) > limit.bytes) {
      done(bodyTooLarge(limit));
      return;
    }
    const encoding = encodingOf(request) ?? 'identity';
    if (isContinueExpected(request)) {
      reply.raw.writeContinue();
      reply.raw.removeHeader('Connection');
    }
    if (encoding === 'identity' && !isStream) {
      done(null, payload);
      return;
    }
    const stream = bodyStream(payload, encoding, limit, ownerOf(request));
    // Through the reader of the stream, so that it has stopped before the response is sent.
    bodies.rejectWith(request.raw, () => {
      if (reply.sent) request.raw.socket.destroy();
      else stream.destroy(tooSlow());
    });
    done(null, stream);
  });
  fastify.addHook('onSend', (request, reply, payload, done) => {
    if (hasBody(request.raw)) discardRest(request.raw, reply.raw);
    done(null, payload);
  });
}

/** The limit of the body of a route that takes one. */
function limitOf(request: FastifyRequest, limits: Config['limits']): InflateLimit {
  if (isStreamType(mediaTypeOf(request))) {
    const ratioFreeBytes = STREAM_RATIO_FREE_BYTES;
    return { bytes: limits.inflatedLimitBytes, name: 'INFLATED_LIMIT_BYTES', ratioFreeBytes };
  }
  const { bodyLimit } = request.routeOptions.config;
  const bytes = bodyLimit === undefined ? Infinity : BODY_LIMITS[bodyLimit];
  return bodyLimit === undefined || bytes > limits.bodyLimitBytes
    ? { bytes: limits.bodyLimitBytes, name: 'BODY_LIMIT_BYTES', ratioFreeBytes: JSON_RATIO_FREE_BYTES }
    : { bytes, name: bodyLimit, ratioFreeBytes: JSON_RATIO_FREE_BYTES };
}

/** The problem of a body whose content coding or media type the route does not accept. */
export function bodyProblem(request: FastifyRequest): Problem | undefined {
  if (!hasBody(request.raw)) return undefined;
  const { consumes } = request.routeOptions.config;
  const encoding = encodingOf(request);
  if (encoding === undefined || (consumes === undefined && encoding !== 'identity')) {
    const accepted = consumes === undefined ? 'identity' : ENCODINGS;
    const detail = `Send the body with Content-Encoding ${accepted.replaceAll(', ', ' or ')}.`;
    return new Problem('unsupported-media-type', { detail, headers: { 'Accept-Encoding': accepted } });
  }
  if (consumes === undefined) return undefined;
  const mediaType = mediaTypeOf(request);
  if (!consumes.includes(mediaType)) return unsupportedMediaType(request);
  return mediaType === 'text/csv' ? unsupportedCsv(request) : undefined;
}

/** The problem of CSV in another encoding or without a header line, which the parameters of the media type declare (RFC 7111). */
function unsupportedCsv(request: FastifyRequest): Problem | undefined {
  const charset = parameterOf(request, 'charset') ?? 'utf-8';
  const isUtf8 = /^(?:utf-?8|us-ascii)$/.test(charset);
  if (isUtf8 && parameterOf(request, 'header') !== 'absent') return undefined;
  const detail = isUtf8
    ? 'Send text/csv with a header line; its header parameter is "absent".'
    : `Send text/csv as UTF-8; its charset is "${charset}".`;
  return new Problem('unsupported-media-type', { detail, headers: { Accept: 'text/csv; charset=utf-8' } });
}

function unsupportedMediaType(request: FastifyRequest): Problem {
  const { consumes = ['application/json'], consumedBy } = request.routeOptions.config;
  const mediaType = mediaTypeOf(request);
  const other = consumedBy !== undefined && Object.hasOwn(consumedBy, mediaType) ? consumedBy[mediaType] : undefined;
  const hint = other === undefined ? '' : ` ${other} takes ${mediaType}.`;
  const detail = `Send the body as ${consumes.join(' or ')}.${hint}`;
  const header = request.method === 'PATCH' ? 'Accept-Patch' : 'Accept';
  return new Problem('unsupported-media-type', { detail, headers: { [header]: consumes.join(', ') } });
}

function hasBody({ headers }: Pick<FastifyRequest['raw'], 'headers'>): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** The media type of the body, in lower case, without parameters; empty where it has none. */
export function mediaTypeOf(request: Pick<FastifyRequest, 'headers'>): string {
  return request.headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? '';
}

/** A parameter of the media type of the body, in lower case. */
function parameterOf({ headers }: Pick<FastifyRequest, 'headers'>, name: string): string | undefined {
  for (const parameter of headers['content-type']?.split(';').slice(1) ?? []) {
    const [key = '', value = ''] = parameter.toLowerCase().split('=', 2);
    if (key.trim() === name) return value.trim().replace(/^"(.*)"$/, '$1');
  }
  return undefined;
}

/** The condition under which Node.js emits `checkContinue`. */
function isContinueExpected({ headers, raw }: FastifyRequest): boolean {
  return raw.httpVersion === '1.1' && /(?:^|\W)100-continue(?:$|\W)/i.test(headers.expect ?? '');
}

/** Undefined for unsupported content codings, and for several. */
function encodingOf(request: FastifyRequest): Encoding | undefined {
  return BY_CODING.get((request.headers['content-encoding'] ?? '').trim().toLowerCase());
}

function tooSlow(): Problem {
  return new Problem('request-timeout', {
    detail: 'The body arrived too slowly; retry on a faster connection, or compress it.',
    headers: { Connection: 'close' },
  });
}

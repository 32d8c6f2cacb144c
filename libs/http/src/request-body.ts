import type { FastifyInstance, FastifyRequest } from 'fastify';
import { BodyPace, PACE, type Pace } from './body-pace.js';
import type { Config } from '#platform';
import { plainBytes, plainStream } from './body-start.js';
import { bodyStream, type Encoding } from './inflate.js';
import { JsonBody } from './json-body.js';
import { NdjsonBody } from './ndjson-body.js';
import { sendProblem } from './problem.filter.js';
import { Problem } from './problems.js';

const NDJSON = 'application/x-ndjson';

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

/**
 * Reads the bodies of all routes: decompresses them, enforces limits and the minimum rate, and passes them on as `JsonBody`
 * or `NdjsonBody`. `100 Continue` is sent only after the request was accepted. Call it before adding hooks that refuse
 * requests.
 */
export function prepareBodies(fastify: FastifyInstance, { limits }: Pick<Config, 'limits'>, pace: Pace = PACE): void {
  const bodies = new BodyPace(pace);
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser<Buffer>(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'buffer' },
    (_, bytes, done) => {
      try {
        done(null, new JsonBody(plainBytes(bytes), limits.bodyLimitBytes));
      } catch (error) {
        done(error as Error);
      }
    },
  );
  fastify.addContentTypeParser(NDJSON, (_, payload, done) => {
    done(null, new NdjsonBody(plainStream(payload)));
  });
  const { server } = fastify;
  // A listener, not a hook: a path that cannot be decoded is refused before any hook, and its body has to be watched too.
  server.prependListener('request', (raw) => {
    if (!raw.complete && hasBody(raw)) bodies.watch(raw);
  });
  // Node.js would send 100 Continue at once, also to unauthenticated clients; `preParsing` sends it when all hooks have
  // passed. After a refusal the client may or may not send the body, so the connection cannot be reused.
  server.on('checkContinue', (raw, response) => {
    response.setHeader('Connection', 'close');
    server.emit('request', raw, response);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    // Without content, Content-Type is ignored, where Fastify would refuse an unknown one. It counts only where the route
    // accepts the type: NDJSON without lines is a batch without objects.
    if (!hasBody(request.raw) && request.routeOptions.config.consumes?.includes(mediaTypeOf(request)) !== true)
      delete request.raw.headers['content-type'];
    bodies.refuseWith(request.raw, () => {
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
    const isStream = mediaTypeOf(request) === NDJSON;
    if (!isStream && Number(request.headers['content-length']) > limits.bodyLimitBytes) {
      done(new Problem('too-large', { detail: 'The body is over BODY_LIMIT_BYTES; see /api/v1/limits.' }));
      return;
    }
    if (isContinueExpected(request)) {
      reply.raw.writeContinue();
      reply.raw.removeHeader('Connection');
    }
    const encoding = encodingOf(request) ?? 'identity';
    if (encoding === 'identity' && !isStream) {
      done(null, payload);
      return;
    }
    const limit = isStream
      ? { bytes: limits.inflatedLimitBytes, setting: 'INFLATED_LIMIT_BYTES' }
      : { bytes: limits.bodyLimitBytes, setting: 'BODY_LIMIT_BYTES' };
    const stream = bodyStream(payload, encoding, limit);
    // Through the reader of the stream, so that it has stopped before the response is sent.
    bodies.refuseWith(request.raw, () => {
      if (reply.sent) request.raw.socket.destroy();
      else stream.destroy(tooSlow());
    });
    done(null, stream);
  });
}

/** The problem of a body whose content coding or media type the route does not accept. */
export function refuseBody(request: FastifyRequest): Problem | undefined {
  if (!hasBody(request.raw)) return undefined;
  const { consumes } = request.routeOptions.config;
  const encoding = encodingOf(request);
  if (encoding === undefined || (consumes === undefined && encoding !== 'identity')) {
    const accepted = consumes === undefined ? 'identity' : ENCODINGS;
    const detail = `Send the body with Content-Encoding ${accepted.replaceAll(', ', ' or ')}.`;
    return new Problem('unsupported-media-type', { detail, headers: { 'Accept-Encoding': accepted } });
  }
  return consumes === undefined || consumes.includes(mediaTypeOf(request)) ? undefined : unsupportedMediaType(request);
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

function mediaTypeOf(request: FastifyRequest): string {
  return request.headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? '';
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

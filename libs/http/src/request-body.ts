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

/** What a body may be encoded as, for `Accept-Encoding`. */
const ENCODINGS = 'gzip, zstd, identity';
const BY_CODING: Readonly<Record<string, Encoding>> = {
  '': 'identity',
  identity: 'identity',
  gzip: 'gzip',
  'x-gzip': 'gzip',
  zstd: 'zstd',
};

/**
 * How bodies arrive, on every route: inflated where they are encoded, as a `JsonBody` or an `NdjsonBody`, within the
 * limits, not too slowly, and after `100 Continue` only when they are wanted. Call it before the hooks that refuse.
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
  // First of all, and not in a hook: an address that cannot be decoded is refused before any hook, and its body is drained
  // as well.
  server.prependListener('request', (raw) => {
    if (!raw.complete && hasBody(raw)) bodies.watch(raw);
  });
  // Node.js would answer 100 Continue at once, also to a stranger; `preParsing` does it when nobody has refused. After a
  // refusal nobody knows whether the body comes all the same, so the connection cannot go on.
  server.on('checkContinue', (raw, response) => {
    response.setHeader('Connection', 'close');
    server.emit('request', raw, response);
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    // Without content it means nothing (RFC 9110, section 8.3), but Fastify would refuse a type that it has no parser for.
    if (!hasBody(request.raw)) delete request.raw.headers['content-type'];
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
    // Through whoever reads it, so that nothing is going on any more when the answer is given.
    bodies.refuseWith(request.raw, () => {
      if (reply.sent) request.raw.socket.destroy();
      else stream.destroy(tooSlow());
    });
    done(null, stream);
  });
}

/** Refuses a body that the route does not take as it is sent: another encoding, another media type. */
export function refuseBody(request: FastifyRequest): Problem | undefined {
  if (!hasBody(request.raw)) return undefined;
  const { consumes } = request.routeOptions.config;
  const encoding = encodingOf(request);
  if (encoding === undefined || (consumes === undefined && encoding !== 'identity')) {
    const accepted = consumes === undefined ? 'identity' : ENCODINGS;
    const detail = `Send the body encoded as ${accepted.replaceAll(', ', ' or ')}.`;
    return new Problem('unsupported-media-type', { detail, headers: { 'Accept-Encoding': accepted } });
  }
  return consumes === undefined || consumes.includes(mediaTypeOf(request)) ? undefined : unsupportedMediaType(request);
}

function unsupportedMediaType(request: FastifyRequest): Problem {
  const { consumes = ['application/json'], consumedBy } = request.routeOptions.config;
  const mediaType = mediaTypeOf(request);
  const other = consumedBy?.[mediaType];
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

/** As Node.js tells it, before it says `checkContinue`. */
function isContinueExpected({ headers, raw }: FastifyRequest): boolean {
  return raw.httpVersion === '1.1' && /(?:^|\W)100-continue(?:$|\W)/i.test(headers.expect ?? '');
}

/** undefined for what we do not know, which includes several encodings after one another. */
function encodingOf(request: FastifyRequest): Encoding | undefined {
  return BY_CODING[(request.headers['content-encoding'] ?? '').trim().toLowerCase()];
}

function tooSlow(): Problem {
  return new Problem('request-timeout', {
    detail: 'The body arrived too slowly.',
    headers: { Connection: 'close' },
  });
}

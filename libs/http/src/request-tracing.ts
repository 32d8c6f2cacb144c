import { parseTraceparent, type Tracing, type TraceSpan } from '#telemetry';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { API, isReadRequest } from './route.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set for requests of the API while traces are on. */
    span: TraceSpan | null;
  }
}

/** Traces the requests of the API that have a valid key. Register it after the hook that checks keys. */
export function traceRequests(fastify: FastifyInstance, tracing: Tracing): void {
  fastify.decorateRequest('span', null);
  // A read gives its span to its queries instead: it would suffer most from being followed.
  const follow = (request: FastifyRequest, done: () => void): void => {
    const { span } = request;
    if (span?.isRecording !== true || isReadRequest(request)) done();
    else tracing.run(span, done);
  };
  fastify.addHook('onRequest', (request, _reply, done) => {
    const { url } = request.routeOptions;
    if (url?.startsWith(API) !== true || request.principal === undefined) {
      done();
      return;
    }
    const attributes = { 'http.request.method': request.method, 'http.route': url, 'stowage.request_id': request.id };
    const parent = parseTraceparent(request.headers.traceparent);
    const span = tracing.startRequest(`${request.method} ${url}`, parent, attributes);
    request.span = span;
    request.trace = span.context;
    follow(request, done);
  });
  // The body arrives in events of the socket, which do not belong to the request.
  fastify.addHook('preValidation', (request, _reply, done) => {
    follow(request, done);
  });
  fastify.addHook('onResponse', ({ span, principal }, { statusCode, itemCount }, done) => {
    if (span?.isRecording === true) {
      const attributes = {
        'http.response.status_code': statusCode,
        ...(principal?.projectId == null ? {} : { 'stowage.project_id': principal.projectId }),
        ...(itemCount === undefined ? {} : { 'stowage.items': itemCount }),
      };
      span.end(attributes, statusCode >= 500 ? { code: statusCode } : undefined);
    }
    done();
  });
}

import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Tracing } from '#telemetry';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Principal } from './principal.js';
import { traceRequests } from './request-tracing.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331';

let fastify: FastifyInstance;
const follow = jest.spyOn(AsyncLocalStorage.prototype, 'run');

beforeEach(async () => {
  const [api, { BasicTracerProvider }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-base'),
  ]);
  const provider = new BasicTracerProvider();
  fastify = Fastify();
  fastify.decorateRequest('principal');
  fastify.decorateRequest('trace', null);
  fastify.addHook('onRequest', (request, _reply, done) => {
    request.principal = {} as Principal;
    done();
  });
  traceRequests(fastify, new Tracing(api, provider.getTracer('test'), () => provider.shutdown()));
  const isSampled = (request: unknown): unknown => (request as { span: { isRecording: boolean } }).span.isRecording;
  fastify.get('/api/v1/objects', isSampled);
  fastify.post('/api/v1/objects', isSampled);
  fastify.post('/api/v1/objects/search', { config: { isRead: true } }, isSampled);
  follow.mockClear();
});
afterEach(() => fastify.close());

/** The number of times that Node.js was told to follow the request, which then costs all promises of the process. */
async function followed(method: 'GET' | 'POST', url: string, flags: '00' | '01'): Promise<number> {
  const response = await fastify.inject({ method, url, headers: { traceparent: `${TRACEPARENT}-${flags}` } });
  expect(response.body).toBe(String(flags === '01'));
  return follow.mock.calls.length;
}

describe('a request is not followed', () => {
  it.each([
    ['a read', 'GET', '/api/v1/objects', '01'],
    ['a search', 'POST', '/api/v1/objects/search', '01'],
    ['a write that is not sampled', 'POST', '/api/v1/objects', '00'],
  ] as const)('where it is %s', async (_, method, url, flags) => {
    expect(await followed(method, url, flags)).toBe(0);
  });
});

it('a sampled write is followed', async () => {
  expect(await followed('POST', '/api/v1/objects', '01')).toBeGreaterThan(0);
});

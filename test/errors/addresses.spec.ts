import { METHODS } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply } from '../harness/api.js';
import { expectProblem } from './expect-problem.js';
import { sendRaw } from './send-raw.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

/** Sends a request line as it is: clients normalize URLs. */
function send(line: string): Promise<Omit<Reply, 'json'>> {
  return sendRaw(api.origin, `${line} HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n`);
}

describe('a path without a resource', () => {
  const BELOW_DOCS = [
    'nothing',
    '%00',
    'swagger-ui.css%00',
    '/x',
    '//',
    '%5c',
    '%2Fx',
    '%2e%2e',
    '..',
    '../package.json',
    '../../package.json',
    '%2e%2e/%2e%2e/package.json',
    '..%2f..%2fpackage.json',
    '..%5c..%5cpackage.json',
    '....//package.json',
    '/etc/passwd',
    '.git',
    '.git/config',
  ];

  it.each(['docs', 'redoc', 'problems', 'api/v1'].flatMap((path) => BELOW_DOCS.map((rest) => `/${path}/${rest}`)))(
    'gets 404: %s',
    async (path) => {
      for (const method of ['GET', 'HEAD', 'POST']) {
        const reply = await send(`${method} ${path}`);
        expect([method, reply.status]).toEqual([method, 404]);
        if (method !== 'HEAD') expectProblem(reply, 'not-found');
      }
    },
  );

  it.each(['//docs', '/./docs', '/docs/.', '/docs/./', '/DOCS', '/docs;x', '/docs%2F', '/%64ocs/x'])(
    'gets 404: %s',
    async (path) => {
      expectProblem(await send(`GET ${path}`), 'not-found');
    },
  );

  it.each([5_000, 40_000])('gets 404 with %i characters', async (length) => {
    expectProblem(await send(`GET /docs/${'a'.repeat(length)}`), 'not-found');
  });

  it.each(['/docs/%', '/docs/%zz', '/docs/%C3%28', '/%ED%A0%80'])('gets 400 when it is not UTF-8: %s', async (path) => {
    expectProblem(await send(`GET ${path}`), 'invalid-path');
  });

  it.each(['*', 'docs', '?x', 'x:y', 'docs/../x'])(
    'gets 400 or 404 as a request target without a slash: %s',
    async (target) => {
      for (const method of ['GET', 'OPTIONS']) {
        const reply = await send(`${method} ${target}`);
        expect([400, 404]).toContain(reply.status);
        expectProblem(reply, reply.status === 404 ? 'not-found' : 'malformed-request');
      }
    },
  );

  it('gets 431 when it is longer than the headers may be', async () => {
    expectProblem(await send(`GET /docs/${'a'.repeat(70_000)}`), 'headers-too-large');
  });
});

describe('a method that a resource does not support', () => {
  const ALLOWED: Readonly<Record<string, readonly string[]>> = {
    '/api/v1/batches': ['GET', 'HEAD', 'POST'],
    '/api/v1/batches/b': ['DELETE', 'GET', 'HEAD', 'PUT'],
    '/api/v1/me': ['GET', 'HEAD'],
    '/docs': ['GET', 'HEAD'],
    '/openapi.json': ['GET', 'HEAD'],
    '/problems': ['GET', 'HEAD'],
    '/health/live': ['GET', 'HEAD'],
  };

  it.each(Object.entries(ALLOWED))('gets 405 with Allow at %s, whatever HTTP method it is', async (path, allowed) => {
    for (const method of METHODS.filter((one) => one !== 'CONNECT' && !allowed.includes(one))) {
      const reply = await send(`${method} ${path}`);
      expect([method, reply.status]).toEqual([method, 405]);
      expect(expectProblem(reply, 'method-not-allowed').detail).toContain(`not ${method}.`);
      expect(reply.headers.get('allow')?.split(', ').sort()).toEqual(allowed);
    }
  });

  it('gets 404 where no resource exists', async () => {
    for (const method of METHODS.filter((one) => one !== 'CONNECT')) {
      expect([method, (await send(`${method} /nothing`)).status]).toEqual([method, 404]);
    }
  });

  it.each(['FOO', 'get', 'GETS', 'X-Y'])('gets 400 when it is not a method of HTTP: %s', async (method) => {
    expectProblem(await send(`${method} /api/v1/batches`), 'malformed-request');
  });

  it('gets 400 when it is CONNECT, which only proxies support', async () => {
    for (const target of ['server:80', '/docs']) {
      expect(expectProblem(await send(`CONNECT ${target}`), 'malformed-request').detail).toContain('CONNECT');
    }
  });
});

/**
 * OWASP API9:2023, Improper Inventory Management. The attacker looks for old versions, and for routes that no document lists.
 *
 * Also: test/routes/sweep.spec.ts (the server has exactly the routes of the OpenAPI document and of the contract), and
 * test/documents/open-api.spec.ts (each with its roles).
 */
import { afterAll, beforeAll, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

it.each([
  ...[
    '/api',
    '/api/v0/batches',
    '/api/v2/batches',
    '/api/batches',
    '/v1/batches',
    '/batches',
    '/API/v1/batches',
    '/api/V1/batches',
  ],
  ...[
    '/api/v1/internal',
    '/api/v1/admin',
    '/api/v1/debug',
    '/api/v1/test',
    '/api/v1/keys',
    '/api/v1/users',
    '/api/v1/users/me',
  ],
  ...[
    '/internal',
    '/admin',
    '/debug',
    '/debug/pprof',
    '/console',
    '/graphql',
    '/actuator',
    '/env',
    '/shared',
    '/servers',
  ],
  ...['/swagger.json', '/api-docs', '/api/v1/openapi.json', '/docs-json', '/redoc.json'],
])('%s does not exist for any key', async (path) => {
  for (const key of [undefined, api.operatorKey, project.keys.admin]) {
    for (const method of ['GET', 'POST'])
      expectProblem(await api.call(method, api.origin + path, { key }), 'not-found');
  }
});

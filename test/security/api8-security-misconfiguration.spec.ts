/**
 * OWASP API8:2023, Security Misconfiguration. The attacker looks for files, methods and details that a server should not show.
 *
 * Also: headers.spec.ts, cors.spec.ts, host.spec.ts, embedded-database.spec.ts and secrets.spec.ts in this folder,
 * test/errors/addresses.spec.ts (paths and methods), libs/platform/src/config.spec.ts (unknown and weak settings).
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { fill, ROUTES } from '../routes/route-table.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

it.each([
  ...[
    '.env',
    '.git/HEAD',
    '.stowage/key-secret',
    'package.json',
    'dist/apps/api/main.js',
    'node_modules/pg/package.json',
  ],
  ...[
    'docs/swagger-initializer.js.map',
    'docs/index.css.map',
    'server-status',
    'phpinfo.php',
    'robots.txt.bak',
    'backup.sql',
  ],
])('serves no file of the installation: /%s', async (path) => {
  expectProblem(await api.call('GET', `${api.origin}/${path}`), 'not-found');
});

it.each(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'])(
  '%s does not change the method',
  async (name) => {
    const { admin: key } = project.keys;
    const batch_id = `kept-${name}`;
    await api.call('POST', '/batches', { key, body: { batch_id, objects: [] } });
    for (const query of ['', '?_method=DELETE'])
      await api.call('GET', `/batches/${batch_id}${query}`, { key, headers: { [name]: 'DELETE' } });
    expect((await api.call('GET', `/batches/${batch_id}`, { key })).status).toBe(200);
  },
);

describe('a rejected request', () => {
  it.each(ROUTES)('reveals nothing internal: %s', async (_, route) => {
    const [role = 'admin'] = route.roles;
    const key = role === 'operator' ? api.operatorKey : project.keys[role];
    const path = fill(route.path, { project_id: project.projectId });
    const bodies = route.body === undefined ? [undefined] : ['{', '[]', '{"nonsense":1}', '\u0000'];
    for (const body of bodies) {
      const reply = await api.call(route.method, `${path}?nonsense=1`, { key, body });
      expect(reply.status).toBeGreaterThanOrEqual(400);
      expect(reply.status).toBeLessThan(500);
      expect(reply.text).not.toMatch(
        /node_modules|\.[jt]s:\d|at \w+ \(|SELECT |pg_|postgres|typeorm|fastify|nestjs|FST_/i,
      );
      for (const name of ['server', 'x-powered-by', 'via']) expect(reply.headers.has(name)).toBe(false);
    }
  });
});

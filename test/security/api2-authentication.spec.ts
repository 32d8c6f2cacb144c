/**
 * OWASP API2:2023, Broken Authentication. The attacker changes a valid key, sends it where no key is read, or sends several keys.
 *
 * Also: test/routes/sweep.spec.ts and api5-function-level-authorization.spec.ts (one 401 for every key that does not work),
 * test/access/keys.spec.ts (expiry, revocation, equal costs), canary-keys.spec.ts, and rate-limits.spec.ts (guessing of keys).
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { sendRaw } from '../errors/send-raw.js';
import { TestApi, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

describe('a valid key', () => {
  const changes: [name: string, change: (key: string) => string][] = [
    ['the prefix of another role', (key) => key.replace('stw_analyst', 'stw_admin')],
    ['the prefix of operators', (key) => key.replace('stw_analyst', 'stw_operator')],
    ['lower case', (key) => key.toLowerCase()],
    ['percent-encoding', (key) => key.replaceAll('_', '%5F')],
    ['a quotation mark', (key) => `"${key}"`],
    ['a comma and another key', (key) => `${key},${project.keys.admin}`],
    ['a pattern', (key) => `${key.slice(0, 16)}%`],
    ['only its public prefix', (key) => key.slice(0, 16)],
  ];

  it.each(changes)('is rejected with %s', async (_, change) => {
    const key = change(project.keys.analyst);
    for (const headers of [{ 'X-Api-Key': key }, { Authorization: `Bearer ${key}` }] as Record<string, string>[])
      expectProblem(await api.call('GET', '/me', { headers }), 'unauthenticated');
  });

  it.each(['api_key', 'key', 'access_token', 'X-Api-Key', 'Authorization'])(
    'is not read from the query: %s',
    async (name) => {
      expectProblem(await api.call('GET', `/me?${name}=${project.keys.analyst}`), 'unauthenticated');
    },
  );

  it('is not read from a cookie, a body or another header', async () => {
    const { producer } = project.keys;
    for (const name of ['Cookie', 'Proxy-Authorization', 'X-Auth-Token', 'X-Authorization', 'Api-Key']) {
      const headers = { [name]: name === 'Cookie' ? `X-Api-Key=${producer}` : producer };
      expectProblem(await api.call('GET', '/me', { headers }), 'unauthenticated');
    }
    const body = { batch_id: 'b', objects: [], api_key: producer };
    expectProblem(await api.call('POST', '/batches', { body }), 'unauthenticated');
  });

  it('is not used when Authorization has another one that is not valid', async () => {
    const headers = { Authorization: 'Bearer unknown', 'X-Api-Key': project.keys.analyst };
    expectProblem(await api.call('GET', '/me', { headers }), 'unauthenticated');
  });

  it('decides in Authorization, whatever X-Api-Key is', async () => {
    const headers = { Authorization: `Bearer ${project.keys.analyst}`, 'X-Api-Key': project.keys.admin };
    expect((await api.call('GET', '/me', { headers })).json()).toMatchObject({ role: 'analyst' });
  });

  it('is rejected when X-Api-Key is sent twice', async () => {
    const { analyst, admin } = project.keys;
    const headers = ['Host: server', `X-Api-Key: ${analyst}`, `X-Api-Key: ${admin}`, 'Connection: close'];
    expectProblem(
      await sendRaw(api.origin, `GET /api/v1/me HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`),
      'unauthenticated',
    );
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

function me(key: string): Promise<Reply> {
  return api.call('GET', '/me', { key });
}

describe('GET /me', () => {
  it.each(['admin', 'producer', 'analyst', 'device'] as const)(
    'returns the key and project of the role %s',
    async (role) => {
      const reply = await me(project.keys[role]);
      expect(reply.status).toBe(200);
      expect(reply.json()).toEqual({
        key_id: expect.stringMatching(/^\d+$/),
        name: role === 'device' ? 'created with the device' : role,
        role,
        project: { project_id: project.projectId, name: expect.stringMatching(/^project-/) },
        device_id: role === 'device' ? project.deviceId : null,
        expires_at: null,
      });
    },
  );

  it('returns no project for an operator', async () => {
    expect((await me(api.operatorKey)).json()).toMatchObject({ role: 'operator', project: null, device_id: null });
  });

  it('returns the same id and expiry as the list of keys', async () => {
    const path = `/projects/${String(project.projectId)}/keys`;
    const body = { name: 'expires', role: 'analyst', expires_at: '2999-01-01T02:00:00+02:00' };
    const created = await api.call('POST', path, { key: project.keys.admin, body });
    const { key, key_id } = created.json<{ key: string; key_id: string }>();
    expect((await me(key)).json()).toMatchObject({ key_id, name: 'expires', expires_at: '2999-01-01T00:00:00.000Z' });
  });

  it('returns 401 for a key that another process has revoked, even while this process caches it', async () => {
    const path = `/projects/${String(project.projectId)}/keys`;
    const created = await api.call('POST', path, { key: project.keys.admin, body: { name: 'n', role: 'analyst' } });
    const { key, key_id } = created.json<{ key: string; key_id: string }>();
    expect((await me(key)).status).toBe(200);
    await api.db.sql('UPDATE api_keys SET revoked_at = now() WHERE key_id = $1', [key_id]);
    expectProblem(await me(key), 'unauthenticated');
  });

  it.each(['X-Device-Api-Key', 'X-Project-Membership-Api-Key', 'api_key'])('does not accept %s', async (name) => {
    const reply = await api.call('GET', '/me', { headers: { [name]: project.keys.device } });
    expectProblem(reply, 'unauthenticated');
  });
});

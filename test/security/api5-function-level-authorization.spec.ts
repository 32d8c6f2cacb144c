/**
 * OWASP API5:2023, Broken Function Level Authorization. The attacker sends valid requests of every route without a key, with a
 * key that no longer works, and with a key of every role that may not send them; for the resources of its own project, of
 * another one, and for missing ones.
 *
 * The table of roles in test/routes/route-table.ts is the contract's. test/routes/sweep.spec.ts compares it with the routes of
 * the server, and test/documents/open-api.spec.ts with the roles in the OpenAPI document.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi } from '../harness/api.js';
import { ROLES, ROUTES, type Route } from '../routes/route-table.js';
import { deleteProject, essenceOf, MISSING, ProjectWithResources, sendTo } from './resources.js';

let api: TestApi;
let mine: ProjectWithResources;
let theirs: ProjectWithResources;
let invalidKeys: [name: string, key: string | undefined][];
let before: unknown;

beforeAll(async () => {
  api = await TestApi.shared();
  [mine, theirs] = await Promise.all([
    ProjectWithResources.create(api, 'mine'),
    ProjectWithResources.create(api, 'theirs'),
  ]);
  const { admin } = mine.project.keys;
  const path = `/projects/${String(mine.project.projectId)}/keys`;
  const create = async (): Promise<{ key: string; key_id: string }> =>
    (await api.call('POST', path, { key: admin, body: { name: 'invalid', role: 'admin' } })).json();
  const [revoked, expired] = [await create(), await create()];
  expect((await api.call('DELETE', `${path}/${revoked.key_id}`, { key: admin })).status).toBe(204);
  await api.db.sql(`UPDATE api_keys SET expires_at = now() - interval '1 day' WHERE key_id = $1`, [expired.key_id]);
  const deleted = await ProjectWithResources.create(api, 'deleted');
  await deleteProject(api, deleted.project.projectId);
  invalidKeys = [
    ['none', undefined],
    ['unknown', 'an-admin-key-that-was-never-created-anywhere'],
    ['revoked', revoked.key],
    ['expired', expired.key],
    ...Object.entries(deleted.project.keys).map(([role, key]): [string, string] => [
      `${role} of a deleted project`,
      key,
    ]),
  ];
  before = await stored();
});
afterAll(() => api.stop());

/** Entries of the audit log about denied requests are written later. */
async function stored(): Promise<unknown> {
  return [await mine.rows({ audit: false }), await theirs.rows()];
}

async function expectSameForAllTargets(
  route: Route,
  key: string | undefined,
  idsOf: () => readonly Readonly<Record<string, string | number>>[],
  slug: 'unauthenticated' | 'forbidden',
): Promise<unknown> {
  const [own, ...others] = await Promise.all(idsOf().map((ids) => sendTo(api, route, ids, key)));
  if (own === undefined) throw new Error('there is no target');
  expectProblem(own, slug);
  for (const other of others) expect(essenceOf(other)).toEqual(essenceOf(own));
  return essenceOf(own);
}

describe.each(ROUTES)('%s', (_, route) => {
  it('returns one 401 without a key and with a key that does not work, whatever the resource', async () => {
    const targets = () => [mine.idsFor('admin'), theirs.idsFor('admin'), MISSING];
    let first: unknown;
    for (const [name, key] of invalidKeys) {
      const essence = await expectSameForAllTargets(route, key, targets, 'unauthenticated');
      first ??= essence;
      expect([name, essence]).toEqual([name, first]);
    }
  });

  it('returns 403 to every role that may not send it, whatever the resource', async () => {
    for (const role of ROLES.filter((one) => !route.roles.includes(one))) {
      const targets = () => [mine.idsFor(role), theirs.idsFor(role), MISSING];
      await expectSameForAllTargets(route, mine.keyOf(role), targets, 'forbidden');
    }
  });
});

it('none of these requests stored or changed anything', async () => {
  expect(await stored()).toEqual(before);
});

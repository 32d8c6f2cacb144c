/**
 * OWASP API1:2023, Broken Object Level Authorization. The attacker has a valid key and sends ids that it should not have: of
 * another project, of deleted resources, and of a device that was moved to another project.
 *
 * Also: test/firmware/moves.spec.ts (events of a moved device), test/idempotency (responses of other keys), and
 * test/security/audit.spec.ts (ids in the audit log).
 */
import type { Role } from '#http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply } from '../harness/api.js';
import { addressOf, ROLES, ROUTES, type Route } from '../routes/route-table.js';
import { deleteProject, essenceOf, MISSING, ProjectWithResources, sendTo, type Ids } from './resources.js';

let api: TestApi;
let mine: ProjectWithResources;
let theirs: ProjectWithResources;

beforeAll(async () => {
  api = await TestApi.shared();
  [mine, theirs] = await Promise.all([
    ProjectWithResources.create(api, 'mine'),
    ProjectWithResources.create(api, 'theirs'),
  ]);
});
afterAll(() => api.stop());

const isOfOperators = ({ path }: Route): boolean => path.startsWith('/operator-keys');

/** Routes of existing resources of a project. `DELETE` comes last, so that the other routes find their resource. */
const withIds = ROUTES.filter(
  ([, route]) => addressOf(route).includes('{') && route.creates !== true && !isOfOperators(route),
).sort(([, a], [, b]) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'));

/** The roles of one project; an operator manages all projects. */
const ofProject = ({ roles }: Route): Role[] => roles.filter((role) => role !== 'operator');

describe('another project', () => {
  let before: unknown;

  beforeAll(async () => {
    before = await theirs.rows();
    expect(before).toEqual(expect.arrayContaining([expect.objectContaining({ table: 'objects' })]));
  });

  describe.each(withIds)('%s', (_, route) => {
    it('returns the same 404 for its resources as for missing ones', async () => {
      for (const role of ofProject(route)) {
        const key = mine.keyOf(role);
        const others = await sendTo(api, route, theirs.idsFor(role), key);
        const missing = await sendTo(api, route, MISSING, key);
        expectProblem(others, 'not-found');
        expect(others.headers.get('etag')).toBeNull();
        expect(essenceOf(others)).toEqual(essenceOf(missing));
      }
    });

    it('finds the resources of its own project', async () => {
      for (const role of route.roles) {
        const { status, text } = await sendTo(api, route, mine.idsFor(role), mine.keyOf(role));
        // 400: the device is to be moved to a missing project. 409: the job has not failed; the batch has objects.
        expect([role, status, text]).toEqual([role, expect.any(Number), expect.not.stringMatching(/#not-found"/)]);
        expect([200, 201, 202, 204, 400, 409]).toContain(status);
      }
    });
  });

  it.each(ROUTES.filter(([, { creates }]) => creates === true))(
    '%s creates the resource in the own project',
    async (_, route) => {
      for (const role of ofProject(route)) {
        const reply = await sendTo(api, route, theirs.idsFor(role), mine.keyOf(role));
        // A device key reports only for its own device.
        if (role === 'device') expectProblem(reply, 'forbidden');
        else expect([200, 201]).toContain(reply.status);
      }
    },
  );

  it.each([
    ...['/batches', '/batches?batch_id=theirs', '/batches?include=objects', '/sprockets', '/jobs', '/devices'],
    ...[
      '/objects',
      '/objects?batch_id=theirs',
      '/objects?subject_prefix=t',
      '/objects?key=type&value=theirs',
      '/usage',
    ],
    ...[
      '/objects/keys',
      '/objects/facets?key=type',
      '/objects/aggregate?op=count&by=key&key=type',
      '/factories',
      '/audit',
      '/audit?target_id=theirs',
    ],
  ])('is in no list and matches no filter: %s', async (path) => {
    const fresh = await api.project();
    const reply = await api.call('GET', path, { key: fresh.keys.admin });
    expect([path, reply.status === 400 || !reply.text.includes('theirs')]).toEqual([path, true]);
    expect(reply.text).not.toContain(theirs.project.deviceId);
  });

  it.each(ROUTES.filter(([, route]) => route.path.includes('{key_id}') && isOfOperators(route)))(
    '%s returns 404 for a key of a project',
    async (_, route) => {
      expectProblem(await sendTo(api, route, theirs.idsFor('operator'), api.operatorKey), 'not-found');
    },
  );

  it('cannot be named in a query', async () => {
    const { projectId, keys } = theirs.project;
    const { admin: key } = mine.project.keys;
    const audit = await api.call('GET', `/audit?project_id=${String(projectId)}`, { key });
    const missing = await api.call('GET', '/audit?project_id=2147483647', { key });
    expectProblem(audit, 'not-found');
    expect(essenceOf(audit)).toEqual(essenceOf(missing));
    const next = (await api.call('GET', '/objects?page_size=1', { key: keys.admin })).json<{ next: string }>().next;
    expect(placesOf(expectProblem(await api.call('GET', next, { key }), 'invalid-cursor'))).toEqual(['cursor']);
  });

  it('shares no ids: deleting the own batch and object of the same id keeps its batch and object', async () => {
    const { producer, admin } = (await api.project()).keys;
    const body = { batch_id: 'theirs', objects: [{ object_id: 'theirs', data: {} }] };
    expect((await api.call('POST', '/batches', { key: producer, body })).status).toBe(201);
    expect((await api.call('DELETE', '/batches/theirs?cascade=true', { key: admin })).status).toBe(204);
    const { analyst } = theirs.project.keys;
    expect((await api.call('GET', '/batches/theirs', { key: analyst })).json()).toMatchObject({
      objects: [{ object_id: 'theirs' }],
    });
  });

  it('accepts no object: POST /objects treats its batch as missing', async () => {
    const post = (batch_id: string): Promise<Reply> =>
      api.call('POST', '/objects', { key: mine.keyOf('producer'), body: { batch_id, object_id: 'o', data: [] } });
    const others = expectProblem(await post('later-theirs'), 'invalid-body');
    const nobodys = expectProblem(await post('later-nothing'), 'invalid-body');
    expect(placesOf(others)).toEqual(['/batch_id']);
    const essence = ({ detail, errors }: typeof others): string => JSON.stringify([detail, errors]);
    expect(essence(others).replaceAll('theirs', 'nothing')).toBe(essence(nobodys));
  });

  it('has not changed', async () => {
    expect(await theirs.rows()).toEqual(before);
  });
});

describe('a deleted resource', () => {
  const DELETABLE = ['batch_id', 'object_id', 'factory_id', 'sprocket_id'];
  let deleted: ProjectWithResources;

  beforeAll(async () => {
    deleted = await ProjectWithResources.create(api, 'deleted');
    const { admin: key } = deleted.project.keys;
    for (const path of ['/batches/deleted?cascade=true', '/objects/factory-deleted', '/objects/sprocket-deleted']) {
      expect((await api.call('DELETE', path, { key })).status).toBe(204);
    }
  });

  // Those that restore it find it.
  const routes = withIds.filter(
    ([, { path }]) => !path.endsWith('/restore') && DELETABLE.some((id) => path.includes(`{${id}}`)),
  );

  it.each(routes)('is the same as a missing one: %s', async (_, route) => {
    for (const role of route.roles) {
      const key = deleted.keyOf(role);
      const reply = await sendTo(api, route, deleted.idsFor(role), key);
      expectProblem(reply, 'not-found');
      expect(essenceOf(reply)).toEqual(essenceOf(await sendTo(api, route, MISSING, key)));
    }
  });
});

describe('a deleted project', () => {
  let deleted: ProjectWithResources;

  beforeAll(async () => {
    deleted = await ProjectWithResources.create(api, 'gone');
    await deleteProject(api, deleted.project.projectId);
  });

  it.each(ROUTES)('is accessible by none of its keys: %s', async (_, route) => {
    for (const role of ofProject({ ...route, roles: ROLES })) {
      expectProblem(await sendTo(api, route, deleted.idsFor(role), deleted.keyOf(role)), 'unauthenticated');
    }
  });

  it.each(withIds.filter(([, { path, roles }]) => roles.includes('operator') && !path.includes('{job_id}')))(
    'is the same as a missing one for an operator: %s',
    async (_, route) => {
      const reply = await sendTo(api, route, deleted.idsFor('operator'), api.operatorKey);
      expectProblem(reply, 'not-found');
      expect(essenceOf(reply)).toEqual(essenceOf(await sendTo(api, route, MISSING, api.operatorKey)));
    },
  );
});

describe('a device that was moved to another project', () => {
  let from: ProjectWithResources;
  let to: ProjectWithResources;
  let ids: Ids;

  beforeAll(async () => {
    [from, to] = await Promise.all([ProjectWithResources.create(api, 'from'), ProjectWithResources.create(api, 'to')]);
    ids = from.idsFor('admin');
    const body = { project_id: to.project.projectId };
    const moved = await api.call('PATCH', `/devices/${from.project.deviceId}`, { key: api.operatorKey, body });
    expect(moved.status).toBe(200);
  });

  const routes = withIds.filter(
    ([, route]) => addressOf(route).includes('{device_id}') && route.roles.includes('admin'),
  );

  it.each(routes)('is missing in its old project: %s', async (_, route) => {
    for (const role of ['admin', 'analyst'] as const) {
      const reply = await sendTo(api, route, ids, from.keyOf(role));
      expectProblem(reply, 'not-found');
      expect(essenceOf(reply)).toEqual(essenceOf(await sendTo(api, route, MISSING, from.keyOf(role))));
    }
  });

  it.each(routes)('exists in its new project, without its old events: %s', async (_, route) => {
    for (const role of ['admin', 'analyst'] as const) {
      const reply = await sendTo(api, route, ids, to.keyOf(role));
      expect([reply.status, reply.text]).toEqual([200, expect.not.stringContaining('1.0.0')]);
    }
  });
});

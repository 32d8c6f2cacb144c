import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type Reply } from '../harness/api.js';

interface Project {
  project_id: number;
  name: string;
  created_at: string;
  objects_max: number | null;
  bytes_max: number | null;
}

interface Page {
  count: number | null;
  count_is?: string;
  next: string | null;
  previous: string | null;
  results: Project[];
}

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.start({ PAGE_SIZE_MAX: '50' });
});
afterAll(() => api.stop());

function create(name: unknown): Promise<Reply> {
  return api.call('POST', '/projects', { key: api.operatorKey, body: { name } });
}

async function list(path: string): Promise<Page> {
  const reply = await api.call('GET', path, { key: api.operatorKey });
  expect(reply.status).toBe(200);
  return reply.json<Page>();
}

describe('POST /projects', () => {
  it('rejects encrypted keys without STOWAGE_DATA_KEY', async () => {
    const body = { name: 'encrypted', encrypted_keys: ['name'] };
    const reply = await api.call('POST', '/projects', { key: api.operatorKey, body });
    expectProblem(reply, 'invalid-body');
    expect(reply.json()).toMatchObject({
      errors: [
        {
          pointer: '/encrypted_keys',
          detail: 'requires the setting STOWAGE_DATA_KEY, which this server does not have',
        },
      ],
    });
  });

  it('creates a project and returns its Location', async () => {
    const reply = await create('acme');
    expect(reply.status).toBe(201);
    const project = reply.json<Project>();
    expect(project).toEqual({
      project_id: expect.any(Number),
      name: 'acme',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      objects_max: null,
      bytes_max: null,
      retention_days: null,
      encrypted_keys: null,
      encryption_pending: false,
    });
    const read = await api.call('GET', reply.headers.get('location') ?? '', { key: api.operatorKey });
    expect(read.json()).toEqual(project);
  });

  it('rejects a name that exists with a pointer to it, and creates nothing', async () => {
    await create('taken');
    const problem = expectProblem(await create('taken'), 'conflict');
    expect(placesOf(problem)).toEqual(['/name']);
    expect(problem.detail).toContain('taken');
    const [row] = await api.db.sql<{ count: string }>(`SELECT count(*) FROM projects WHERE name = 'taken'`);
    expect(row?.count).toBe('1');
  });

  it('creates one project for concurrent requests with the same name', async () => {
    const replies = await Promise.all(Array.from({ length: 10 }, () => create('contested')));
    const statuses = replies.map(({ status }) => status);
    expect(statuses.sort()).toEqual([201, ...Array<number>(9).fill(409)]);
  });

  it.each(['x'.repeat(255), '😀'.repeat(255), ' ', '7a', '1.5', 'Ünïcode "quoted" \\ / <b>', 'Acme'])(
    'accepts the name %s',
    async (name) => {
      expect((await create(name)).json<Project>().name).toBe(name);
    },
  );

  it.each(['', 'x'.repeat(256), '😀'.repeat(256), '1', '0123456789', 1, null, ['a'], undefined])(
    'rejects the name %p',
    async (name) => {
      expect(placesOf(expectProblem(await create(name), 'invalid-body'))).toEqual(['/name']);
    },
  );
});

describe('GET /projects/{project_id}', () => {
  it.each(['0', '-1', '01', '1e3', '99999999999', '2147483648', 'abc', '%20', "1'"])(
    'returns 404 for the id %s',
    async (id) => {
      expectProblem(await api.call('GET', `/projects/${id}`, { key: api.operatorKey }), 'not-found');
    },
  );

  it("returns an admin's own project", async () => {
    const { projectId, keys } = await api.project();
    const read = await api.call('GET', `/projects/${String(projectId)}`, { key: keys.admin });
    expect(read.json()).toMatchObject({ project_id: projectId });
  });
});

describe('PATCH /projects/{project_id}', () => {
  const patch = ({ project_id }: Project, body: unknown, headers: Record<string, string> = {}): Promise<Reply> =>
    api.call('PATCH', `/projects/${String(project_id)}`, { key: api.operatorKey, body, headers });
  const read = (id: number): Promise<Reply> => api.call('GET', `/projects/${String(id)}`, { key: api.operatorKey });

  it('changes only the members that it names, and null removes a limit', async () => {
    const project = (await create('patched')).json<Project>();
    const limits = { objects_max: 0, bytes_max: 999_999_999_999_999 };
    expect((await patch(project, limits)).json()).toEqual({ ...project, ...limits });
    expect((await patch(project, { name: 'renamed' })).json()).toEqual({ ...project, ...limits, name: 'renamed' });
    const merge = { 'Content-Type': 'application/merge-patch+json' };
    const changed = { ...project, ...limits, name: 'renamed', objects_max: null };
    expect((await patch(project, { objects_max: null }, merge)).json()).toEqual(changed);
    expect((await read(project.project_id)).json()).toEqual(changed);
    expect((await patch(project, {})).json()).toEqual(changed);
  });

  it('sets the limits that POST /projects was sent', async () => {
    const body = { name: 'limited', objects_max: 5, bytes_max: 10 };
    const reply = await api.call('POST', '/projects', { key: api.operatorKey, body });
    expect(reply.json()).toMatchObject(body);
    expect((await list('/projects?page_size=1')).results).toEqual([reply.json()]);
  });

  it('rejects the name of another project and changes nothing', async () => {
    await create('first name');
    const project = (await create('second name')).json<Project>();
    const reply = await patch(project, { name: 'first name', objects_max: 1 });
    expect(placesOf(expectProblem(reply, 'conflict'))).toEqual(['/name']);
    expect((await read(project.project_id)).json()).toEqual(project);
  });

  it('honours If-Match and returns the new ETag', async () => {
    const project = (await create('conditional')).json<Project>();
    const etag = (await read(project.project_id)).headers.get('etag') ?? '';
    const reply = await patch(project, { objects_max: 1 }, { 'If-Match': etag });
    expect(reply.status).toBe(200);
    expect(reply.headers.get('etag')).toBe((await read(project.project_id)).headers.get('etag'));
    expectProblem(await patch(project, { objects_max: 2 }, { 'If-Match': etag }), 'precondition-failed');
    expect((await read(project.project_id)).json()).toMatchObject({ objects_max: 1 });
  });

  it.each([
    [{ objects_max: -1 }, '/objects_max'],
    [{ objects_max: 1.5 }, '/objects_max'],
    [{ bytes_max: '5' }, '/bytes_max'],
    [{ bytes_max: 1e15 }, '/bytes_max'],
    [{ name: '' }, '/name'],
    [{ name: '42' }, '/name'],
    [{ name: null }, '/name'],
    [{ project_id: 1 }, '/project_id'],
  ])('rejects %j', async (body, pointer) => {
    const project = (await list('/projects?page_size=1')).results[0] as Project;
    expect(placesOf(expectProblem(await patch(project, body), 'invalid-body'))).toEqual([pointer]);
  });

  it('returns 404 for a project that does not exist', async () => {
    expectProblem(await patch({ project_id: 2_147_483_648 } as Project, { objects_max: 1 }), 'not-found');
    expectProblem(await patch({ project_id: 1 } as Project, { objects_max: 1 }), 'not-found');
  });
});

describe('GET /projects', () => {
  it('lists every project once, newest first, through next and previous', async () => {
    for (let i = 0; i < 5; i++) await create(`listed-${String(i)}`);
    const all = await list('/projects?page_size=50');
    expect(all.results.slice(0, 5).map(({ name }) => name)).toEqual([4, 3, 2, 1, 0].map((i) => `listed-${String(i)}`));
    expect(all).toMatchObject({ count: all.results.length, count_is: 'exact', next: null, previous: null });

    const walked: Project[] = [];
    let page = await list('/projects?page_size=4');
    expect(page.previous).toBeNull();
    let back = page;
    for (;;) {
      expect(page.count).toBe(all.count);
      walked.push(...page.results);
      if (page.next === null) break;
      back = page;
      page = await list(page.next);
    }
    expect(walked).toEqual(all.results);
    expect((await list(page.previous ?? '')).results).toEqual(back.results);
  });

  it('lists each project once while projects are created', async () => {
    const first = await list('/projects?page_size=2');
    await create('created meanwhile');
    const second = await list(first.next ?? '');
    const all = await list('/projects?page_size=50');
    expect([...first.results, ...second.results]).toEqual(all.results.slice(1, 5));
  });

  it('applies the count parameter', async () => {
    const { length } = (await list('/projects?page_size=50')).results;
    expect(await list('/projects?count=exact')).toMatchObject({ count: length, count_is: 'exact' });
    expect(await list('/projects?count=estimated')).toMatchObject({ count: expect.any(Number), count_is: 'exact' });
    const uncounted = await list('/projects?count=none');
    expect([uncounted.count, 'count_is' in uncounted]).toEqual([null, false]);
  });

  it('accepts page numbers', async () => {
    const all = await list('/projects?page_size=50');
    expect((await list('/projects?page_size=2&page=2')).results).toEqual(all.results.slice(2, 4));
    expect(await list('/projects?page=1000')).toMatchObject({ results: [], next: null });
  });

  it.each([
    ['page_size=0', 'page_size'],
    ['page_size=51', 'page_size'],
    ['page_size=1.5', 'page_size'],
    ['page_size=', 'page_size'],
    ['page=0', 'page'],
    ['page=-1', 'page'],
    ['page=1&page=2', 'page'],
    ['page=9999999999999999', 'page'],
    ['count=all', 'count'],
  ])('rejects %s, names the parameter, and does not clamp it', async (query, parameter) => {
    const reply = await api.call('GET', `/projects?${query}`, { key: api.operatorKey });
    expect(placesOf(expectProblem(reply, 'invalid-query'))).toEqual([parameter]);
  });

  it.each(['', 'x', 'n1', 'n1.AAAAAAAAAAAA', 'nzzzzzzzzzzzzz.AAAAAAAAAAAA', '%00'])(
    'rejects the cursor "%s"',
    async (cursor) => {
      const reply = await api.call('GET', `/projects?cursor=${cursor}`, { key: api.operatorKey });
      expect(placesOf(expectProblem(reply, 'invalid-cursor'))).toEqual(['cursor']);
    },
  );

  it('rejects a page number together with a cursor', async () => {
    const { next } = await list('/projects?page_size=1');
    const reply = await api.call('GET', `${next ?? ''}&page=2`, { key: api.operatorKey });
    expect(placesOf(expectProblem(reply, 'invalid-query'))).toEqual(['page']);
  });
});

import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { access, readFile } from 'node:fs/promises';
import { Client } from 'pg';
import { FEEDS } from '../../apps/feeds.js';
import { openApiOf } from '../documents/open-api.js';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import type { Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { DoorsModule } from './doors/doors.module.js';

let api: TestApp;
let project: TestProject;
beforeAll(async () => {
  api = await TestApp.start({}, [...FEEDS, DoorsModule]);
  project = await api.project();
});
afterAll(() => api.stop());

const VISITS = '/doors/north/visits';
const at = (hour: number): string => `2026-11-21T${String(hour).padStart(2, '0')}:00:00Z`;

function post(door: string, body: object, headers: Record<string, string> = {}): Promise<Reply> {
  return api.call('POST', door, { key: project.keys.producer, body, headers });
}

async function count(hour: number, people: number, headers: Record<string, string> = {}): Promise<number> {
  return (await post(VISITS, { at: at(hour), people }, headers)).status;
}

async function read<T>(path: string): Promise<T> {
  return (await api.call('GET', path, { key: project.keys.analyst })).json<T>();
}

describe('the feed of docs/adding-a-feed.md', () => {
  it('stores visits, and replaces a visit that is sent again', async () => {
    expect(await count(9, 12)).toBe(201);
    expect(await count(10, 30)).toBe(201);
    expect(await count(9, 13)).toBe(201);
    const { results } = await read<{ results: object[] }>(VISITS);
    expect(results).toEqual([
      { door: 'north', at: at(10), people: 30 },
      { door: 'north', at: at(9), people: 13 },
    ]);
  });

  it('supports filters, aggregates, deletes, jobs and idempotency keys without additional code', async () => {
    const { results } = await read<{ results: { object_id: string }[] }>(
      `/objects?subject=north&key=people&value=30&observed_from=${at(10)}`,
    );
    expect(results).toHaveLength(1);
    const sum = await read<{ results: object[] }>('/objects/aggregate?op=sum&key=people&by=time&bucket=1d');
    expect(sum.results).toMatchObject([{ value: 43, count: 2 }]);

    const id = results[0]?.object_id ?? '';
    expect((await api.call('DELETE', `/objects/${id}`, { key: project.keys.admin })).status).toBe(204);
    expect((await read<{ count: number }>(VISITS)).count).toBe(1);

    expect(await count(11, 5, { Prefer: 'respond-async' })).toBe(202);
    const jobs = await read<{ results: { status: string }[] }>('/jobs');
    expect(jobs.results).toMatchObject([{ status: 'queued' }]);
    const headers = { 'Idempotency-Key': 'visit-1' };
    expect([await count(12, 5, headers), await count(12, 5, headers)]).toEqual([201, 201]);
  });

  it('rejects an invalid visit with a pointer, a missing key and a forbidden role', async () => {
    const bad = await post(VISITS, { at: at(9), people: -1 });
    expect([bad.status, bad.json<{ errors: object[] }>().errors]).toMatchObject([400, [{ pointer: '/people' }]]);
    expect((await api.call('GET', VISITS)).status).toBe(401);
    expect((await api.call('POST', VISITS, { key: project.keys.analyst, body: {} })).status).toBe(403);
  });

  it('identifies an hour by its instant in any time zone, and returns it in UTC', async () => {
    const door = '/doors/clock/visits';
    const written = ['2026-11-21T10:00:00+01:00', '2026-11-21t08:00:00.000-01:00', '2026-11-21T09:00:00'];
    for (const [people, hour] of written.entries()) {
      const reply = await post(door, { at: hour, people });
      expect([reply.status, reply.json()]).toEqual([201, { door: 'clock', at: at(9), people }]);
    }
    expect((await read<{ results: object[] }>(door)).results).toEqual([{ door: 'clock', at: at(9), people: 2 }]);
  });

  it.each([
    ['of 256 characters', 'x'.repeat(256)],
    ['with a control character', 'a\u0007b'],
    ['with a non-ASCII control character', '\u0085'],
  ])('rejects a name that is not a valid id: %s', async (_, name) => {
    const door = `/doors/${encodeURIComponent(name)}/visits`;
    expectProblem(await post(door, { at: at(9), people: 1 }), 'invalid-path');
    expectProblem(await api.call('GET', door, { key: project.keys.analyst }), 'invalid-path');
  });

  it("returns 404 for another project's door, and an empty page beyond the end", async () => {
    const { keys } = await api.project();
    const stableParts = (reply: Reply) => ({ ...expectProblem(reply, 'not-found'), request_id: '', instance: '' });
    await count(9, 13);
    const others = await api.call('GET', VISITS, { key: keys.analyst });
    const nobodys = await api.call('GET', '/doors/nothing/visits', { key: keys.analyst });
    expect(stableParts(others)).toEqual(stableParts(nobodys));
    expect((await read<{ results: object[] }>(`${VISITS}?page=99`)).results).toEqual([]);
  });

  it('is in the OpenAPI document, with the problems of a route with a path parameter', async () => {
    const { paths } = await openApiOf(api);
    const { get, post } = paths['/api/v1/doors/{door}/visits'] ?? {};
    expect(get?.responses['404']?.description).toContain('not-found: ');
    for (const operation of [get, post]) expect(operation?.responses['400']?.description).toContain('invalid-path: ');
  });
});

describe('docs/adding-a-feed.md', () => {
  it('shows the current files of the example', async () => {
    const page = await readFile('docs/adding-a-feed.md', 'utf8');
    const shown = [...page.matchAll(/^`(test\/feeds\/\S+)`\n\n```ts\n([\s\S]*?)```$/gm)];
    expect(shown.length).toBeGreaterThan(3);
    for (const [, path = '', text] of shown) expect(text).toBe(await readFile(path, 'utf8'));
  });

  it('names files that exist', async () => {
    const [, putIn = ''] = (await readFile('docs/adding-a-feed.md', 'utf8')).split('## 6.');
    const files = [...putIn.matchAll(/`((?:[\w-]+\/)*[\w-]+(?:\.[\w-]+)*\.(?:ts|mjs|json|md))`/g)];
    expect(files.length).toBeGreaterThan(10);
    for (const [, file = ''] of files) await expect(access(file)).resolves.toBeUndefined();
  });
});

describe('a file of 10,000 existing ids', () => {
  it('is compared with the stored objects in a few statements', async () => {
    const measures = { teeth: 5, pitch_diameter: 5, outside_diameter: 6, pitch: 1 };
    const sprockets = Array.from({ length: 10_000 }, (_, n) => ({ id: `many-${String(n)}`, ...measures }));
    const other = sprockets.map((one, n) => (n === 9_998 ? { ...one, teeth: 6 } : one));
    expect((await post('/sprockets', { sprockets })).json()).toEqual({ stored: 10_000, unchanged: 0 });
    const queries = jest.spyOn(Client.prototype, 'query');
    expect((await post('/sprockets', { sprockets })).json()).toEqual({ stored: 0, unchanged: 10_000 });
    const conflict = expectProblem(await post('/sprockets', { sprockets: other }), 'conflict');
    expect(placesOf(conflict)).toEqual(['/sprockets/9998/id']);
    expect(queries.mock.calls.length).toBeGreaterThan(1);
    expect(queries.mock.calls.length).toBeLessThan(50);
    queries.mockRestore();
  });
});

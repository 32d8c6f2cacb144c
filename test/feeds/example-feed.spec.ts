import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { FEEDS } from '../../apps/feeds.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { DoorsModule } from './doors/doors.module.js';

let api: TestApi;
let project: TestProject;
beforeAll(async () => {
  api = await TestApi.start({}, [...FEEDS, DoorsModule]);
  project = await api.project();
});
afterAll(() => api.stop());

const VISITS = '/doors/north/visits';
const at = (hour: number): string => `2026-11-21T${String(hour).padStart(2, '0')}:00:00Z`;

async function count(hour: number, people: number, headers: Record<string, string> = {}): Promise<number> {
  const body = { at: at(hour), people };
  return (await api.call('POST', VISITS, { key: project.keys.producer, body, headers })).status;
}

async function read<T>(path: string): Promise<T> {
  return (await api.call('GET', path, { key: project.keys.analyst })).json<T>();
}

describe('the feed of docs/adding-a-feed.md', () => {
  it('stores what comes through its door, and replaces what comes again', async () => {
    expect(await count(9, 12)).toBe(201);
    expect(await count(10, 30)).toBe(201);
    expect(await count(9, 13)).toBe(201);
    const { results } = await read<{ results: object[] }>(VISITS);
    expect(results).toEqual([
      { door: 'north', at: at(10), people: 30 },
      { door: 'north', at: at(9), people: 13 },
    ]);
  });

  it('has filters, aggregates, deletes, jobs and repeatable requests without a line of its own', async () => {
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

  it('refuses what is no visit, with a pointer to it, and whom it does not know', async () => {
    const bad = await api.call('POST', VISITS, { key: project.keys.producer, body: { at: at(9), people: -1 } });
    expect([bad.status, bad.json<{ errors: object[] }>().errors]).toMatchObject([400, [{ pointer: '/people' }]]);
    expect((await api.call('GET', VISITS)).status).toBe(401);
    expect((await api.call('POST', VISITS, { key: project.keys.analyst, body: {} })).status).toBe(403);
  });

  it('is in the OpenAPI document', async () => {
    const { paths } = (await api.call('GET', `${api.origin}/openapi.json`)).json<{ paths: object }>();
    expect(Object.keys(paths)).toContain('/api/v1/doors/{door}/visits');
  });
});

describe('docs/adding-a-feed.md', () => {
  it('shows the files of the example as they are', async () => {
    const page = await readFile('docs/adding-a-feed.md', 'utf8');
    const shown = [...page.matchAll(/^`(test\/feeds\/\S+)`\n\n```ts\n([\s\S]*?)```$/gm)];
    expect(shown.length).toBeGreaterThan(3);
    for (const [, path = '', text] of shown) expect(text).toBe(await readFile(path, 'utf8'));
  });
});

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { submitJob, waitFor, waitForJob } from '../jobs/jobs.js';
import { helpsOf, samplesOf, valueOf, type Sample } from './scrape.js';

const TOKEN = 'a token of the tests with more than 32 characters'.replaceAll(' ', '-');

let api: TestApi;
let project: TestProject;
beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'inline', METRICS_TOKEN: TOKEN, METRICS_PORT: '0' });
  project = await api.project();
});
afterAll(() => api.stop());

/** The URL of METRICS_PORT. */
function portUrl({ printedLines }: TestApi): string {
  return /metrics are at (\S+)/.exec(printedLines.join('\n'))?.[1] ?? '';
}

async function scrape(server = api): Promise<Sample[]> {
  const reply = await server.call('GET', `${server.origin}/metrics`, { key: server.operatorKey });
  expect([reply.status, reply.headers.get('content-type')]).toEqual([200, expect.stringMatching(/^text\/plain/)]);
  return samplesOf(reply.text);
}

/** Scrapes until a value is reached: one scrape is rendered for all of a second. */
function reaches(value: number, name: string, labels?: Record<string, string>, server = api): Promise<true> {
  return waitFor(async () => (valueOf(await scrape(server), name, labels) >= value ? true : undefined));
}

describe('/metrics', () => {
  it('is in the list of resources and in the OpenAPI document, with its problems', async () => {
    const { metrics } = (await api.call('GET', '/')).json<{ metrics: string }>();
    expect(metrics).toBe(`${api.origin}/metrics`);
    const { paths } = (await api.call('GET', `${api.origin}/openapi.json`)).json<{
      paths: Record<string, { get: { responses: object } }>;
    }>();
    expect(Object.keys(paths['/metrics']?.get.responses ?? {})).toEqual(
      expect.arrayContaining(['200', '401', '403', '429', '503']),
    );
  });

  it('needs the key of an operator, or METRICS_TOKEN', async () => {
    const url = `${api.origin}/metrics`;
    const statusWith = async (options: object): Promise<number> => (await api.call('GET', url, options)).status;
    expect(await statusWith({})).toBe(401);
    expect(await statusWith({ key: project.keys.admin })).toBe(403);
    expect(await statusWith({ headers: { Authorization: `Bearer ${TOKEN}x` } })).toBe(401);
    expect(await statusWith({ headers: { Authorization: `Bearer ${TOKEN}` } })).toBe(200);
    expect(await statusWith({ key: api.operatorKey })).toBe(200);
    // The token opens nothing else.
    expect((await api.call('GET', '/maintenance', { headers: { Authorization: `Bearer ${TOKEN}` } })).status).toBe(401);
  });

  it('needs METRICS_TOKEN on METRICS_PORT, and no key without a token', async () => {
    const url = portUrl(api);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
    const statusOf = async (headers = {}, path = url, method = 'GET'): Promise<number> =>
      (await fetch(path, { method, headers })).status;
    expect(await statusOf()).toBe(401);
    expect(await statusOf({ Authorization: `Bearer ${TOKEN}` })).toBe(200);
    expect(await statusOf({ Authorization: `Bearer ${TOKEN}` }, url, 'POST')).toBe(405);
    expect(await statusOf({ Authorization: `Bearer ${TOKEN}` }, new URL('/api/v1', url).href)).toBe(404);
    // That the process runs is no secret.
    expect(await statusOf({}, new URL('/health/live', url).href)).toBe(200);
    const open = await api.another({ METRICS_PORT: '0' });
    expect((await fetch(portUrl(open))).status).toBe(200);
    expect((await open.call('GET', `${open.origin}/metrics`)).status).toBe(401);
    await open.stop();
  });

  it('does not exist with METRICS=false', async () => {
    const off = await api.another({ METRICS: 'false', METRICS_PORT: '0' });
    expect((await off.call('GET', `${off.origin}/metrics`, { key: api.operatorKey })).status).toBe(404);
    expect(portUrl(off)).toBe('');
    expect((await off.call('GET', '/')).json()).not.toHaveProperty('metrics');
    expect((await off.call('GET', `${off.origin}/openapi.json`)).json<{ paths: object }>().paths).not.toHaveProperty([
      '/metrics',
    ]);
    await off.stop();
  });

  it('has exactly the metrics of docs/operations/monitoring.md, with the same text', async () => {
    const { text } = await api.call('GET', `${api.origin}/metrics`, { key: api.operatorKey });
    const page = await readFile('docs/operations/monitoring.md', 'utf8');
    const [, chapter = ''] = /^## Metrics\n(.*?)^## /ms.exec(page) ?? [];
    const rows = [...chapter.matchAll(/^\| `(\w+)` +\| (\w+) +\| ([^|]*?) +\| (.*?) +\|$/gm)];
    const documented = Object.fromEntries(rows.map(([, name = '', , , meaning]) => [name, meaning]));
    expect(documented).toEqual(helpsOf(text));
    const types = Object.fromEntries(
      [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type]) => [name, type]),
    );
    expect(Object.fromEntries(rows.map(([, name = '', type]) => [name, type]))).toEqual(types);
    const labels = Object.fromEntries(rows.map(([, name = '', , cell = '']) => [name, cell.match(/\w+/g) ?? []]));
    for (const { name, labels: used } of samplesOf(text)) {
      const metric = name in labels ? name : name.replace(/_(bucket|sum|count)$/, '');
      expect([metric, labels[metric]]).toEqual([metric, Object.keys(used).filter((label) => label !== 'le')]);
    }
  });
});

describe('the metrics of requests', () => {
  it('count requests by route pattern, the objects that they stored, and refusals', async () => {
    const server = await api.another();
    const { producer, analyst } = project.keys;
    const objects = ['1', '2', '3'].map((id) => ({ object_id: `metric-${id}`, data: { n: 1 } }));
    await server.call('POST', '/batches', { key: producer, body: { batch_id: 'metrics', objects } });
    for (const { object_id } of objects) await server.call('GET', `/objects/${object_id}`, { key: analyst });
    await server.call('GET', '/objects/metric-1', { key: producer });
    await server.call('GET', '/objects/metric-1');
    const route = '/api/v1/objects/:object_id';
    await reaches(1, 'stowage_http_request_duration_seconds_count', { route, status: '4xx' }, server);
    const samples = await scrape(server);
    const count = (labels: Record<string, string>): number =>
      valueOf(samples, 'stowage_http_request_duration_seconds_count', labels);
    expect(count({ method: 'GET', route, status: '2xx' })).toBe(3);
    expect(count({ method: 'GET', route, status: '4xx' })).toBe(2);
    expect(count({ method: 'POST', route: '/api/v1/batches', status: '2xx' })).toBe(1);
    expect(valueOf(samples, 'stowage_http_request_duration_seconds_sum', { route })).toBeGreaterThan(0);
    expect(valueOf(samples, 'stowage_items_written_total', { via: 'request' })).toBe(3);
    expect(valueOf(samples, 'stowage_http_problems_total', { problem: 'forbidden', status: '403' })).toBe(1);
    expect(valueOf(samples, 'stowage_http_problems_total', { problem: 'unauthenticated', status: '401' })).toBe(1);
    await server.stop();
  });

  it('get no series for paths, methods and ids that a client invents', async () => {
    const server = await api.another();
    await scrape(server);
    for (let n = 0; n < 20; n++) {
      await server.call('GET', `${server.origin}/invented-${String(n)}`);
      await server.call('GET', `/objects/invented-${String(n)}`, { key: project.keys.analyst });
    }
    for (const method of ['PROPFIND', 'LOCK', 'SEARCH']) await server.call(method, '/objects');
    const name = 'stowage_http_request_duration_seconds_count';
    await reaches(3, name, { method: 'other' }, server);
    const samples = await scrape(server);
    expect(valueOf(samples, name, { route: 'unknown' })).toBe(20);
    const all = JSON.stringify(samples);
    expect(all).not.toContain('invented');
    expect(all).not.toContain(String(project.projectId));
    expect(samples.filter((one) => one.name === name).length).toBeLessThan(12);
    await server.stop();
  });

  it('count the uses of canary keys', async () => {
    const canary = await api.call('POST', `/projects/${String(project.projectId)}/keys`, {
      key: api.operatorKey,
      body: { name: 'canary', role: 'admin', canary: true },
    });
    const { key } = canary.json<{ key: string }>();
    for (let n = 0; n < 2; n++) expect((await api.call('GET', '/objects', { key })).status).toBe(401);
    await reaches(2, 'stowage_canary_uses_total');
  });
});

describe('the metrics of the process', () => {
  it('have its connections, its memory, its event loop and its version', async () => {
    const samples = await scrape();
    expect(valueOf(samples, 'stowage_database_connections_max', { pool: 'shared' })).toBe(18);
    expect(valueOf(samples, 'stowage_database_connections', { pool: 'shared' })).toBeGreaterThan(0);
    expect(valueOf(samples, 'process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
    expect(valueOf(samples, 'process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(valueOf(samples, 'stowage_http_connections')).toBeGreaterThan(0);
    expect(samples).toContainEqual(
      expect.objectContaining({ name: 'nodejs_eventloop_lag_seconds', labels: { quantity: 'p99' } }),
    );
    expect(valueOf(samples, 'stowage_build_info', { node: process.version })).toBe(1);
    expect(samples.some(({ name }) => name.startsWith('stowage_replica'))).toBe(false);
  });
});

describe('the metrics of jobs', () => {
  it('count attempts, their time and the objects that they stored', async () => {
    const { producer: key } = project.keys;
    const body = { batch_id: 'job-metrics', objects: [{ object_id: 'job-metric', data: {} }] };
    expect(await waitForJob(api, key, await submitJob(api, 'POST', '/batches', { key, body }))).toMatchObject({
      status: 'succeeded',
    });
    expect(await waitForJob(api, key, await submitJob(api, 'POST', '/batches', { key, body }))).toMatchObject({
      status: 'failed',
    });
    const operation = 'batch.create';
    await reaches(1, 'stowage_job_attempts_total', { operation, state: 'failed' });
    const samples = await scrape();
    expect(valueOf(samples, 'stowage_job_attempts_total', { operation, state: 'succeeded' })).toBe(1);
    expect(valueOf(samples, 'stowage_job_duration_seconds_count', { operation })).toBe(2);
    expect(valueOf(samples, 'stowage_items_written_total', { via: 'job' })).toBe(1);
    expect(valueOf(samples, 'stowage_job_concurrency')).toBe(6);
  });

  it('have the depth and the age of the queue by class of project, and dead letters', async () => {
    const server = await TestApi.start({ WORKER: 'separate' });
    const [light, heavy] = [await server.project(), await server.project()];
    const submit = ({ keys: { producer: key } }: TestProject, n: number): Promise<unknown> =>
      submitJob(server, 'POST', '/batches', { key, body: { batch_id: `b${String(n)}`, objects: [] } });
    for (let n = 0; n < 3; n++) await submit(light, n);
    for (let n = 0; n < 100; n++) await submit(heavy, n);
    await server.db.sql(
      `UPDATE jobs SET status = 'failed', finished_at = now(), problem = '{"type": "http://a/problems#internal"}'
       WHERE project_id = $1 AND job_id = (SELECT min(job_id) FROM jobs WHERE project_id = $1)`,
      [light.projectId],
    );
    const samples = await scrape(server);
    const of = (name: string, project_class: string): number => valueOf(samples, name, { project_class });
    expect([of('stowage_jobs_queued', 'light'), of('stowage_job_projects', 'light')]).toEqual([2, 1]);
    expect([of('stowage_jobs_queued', 'heavy'), of('stowage_job_projects', 'heavy')]).toEqual([100, 1]);
    expect([of('stowage_jobs_queued', 'operator'), of('stowage_job_oldest_queued_seconds', 'operator')]).toEqual([
      0, 0,
    ]);
    expect(of('stowage_job_oldest_queued_seconds', 'light')).toBeGreaterThan(0);
    expect(of('stowage_job_oldest_queued_seconds', 'light')).toBeLessThan(600);
    expect(valueOf(samples, 'stowage_dead_letters')).toBe(1);
    expect(valueOf(samples, 'stowage_database_size_bytes')).toBeGreaterThan(1_000_000);
    expect(valueOf(samples, 'stowage_job_concurrency')).toBe(0);
    await server.stop();
  });
});

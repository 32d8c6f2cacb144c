import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type CallOptions, type LogLine, type Reply, type TestProject } from '../harness/api.js';
import { submitJob, waitFor, waitForJob } from '../jobs/jobs.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` };

let api: TestApi;
let project: TestProject;
beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

/** The last line with these fields. */
function lineWith(fields: Partial<LogLine>): Promise<LogLine> {
  return waitFor(async () =>
    (await api.log()).findLast((line) => Object.entries(fields).every(([name, value]) => line[name] === value)),
  );
}

/** Sends a request. @returns the response and its line in the log */
async function logged(method: string, path: string, options: CallOptions): Promise<{ reply: Reply; line: LogLine }> {
  const reply = await api.call(method, path, options);
  const id = reply.headers.get('x-request-id');
  return { reply, line: await lineWith({ request_id: id ?? '', method }) };
}

async function keyIdOf(key: string): Promise<string> {
  return (await api.call('GET', '/me', { key })).json<{ key_id: string }>().key_id;
}

describe('the line of a request', () => {
  it('names the key, the project, the trace, and what a write was about', async () => {
    const { producer: key } = project.keys;
    const body = { batch_id: 'logged batch', objects: [{ object_id: 'o', data: { secret: 'a value' } }] };
    const { line } = await logged('POST', '/batches', { key, body, headers: TRACEPARENT });
    expect(line).toMatchObject({
      level: 30,
      trace_id: TRACE,
      project: project.projectId,
      key_id: await keyIdOf(key),
      route: '/api/v1/batches',
      ids: { location: '/api/v1/batches/logged%20batch' },
      status: 201,
      items: 1,
      ms: expect.any(Number),
    });
    expect(JSON.stringify(line)).not.toMatch(/secret|a value/);
  });

  it('has the ids in the path of a write or delete, and those that a filter deleted', async () => {
    const { admin: key } = project.keys;
    const objects = ['1', '2', '3'].map((id) => ({ object_id: `deleted-${id}`, data: { kind: 'deleted' } }));
    await api.call('PUT', '/batches/log-ids', { key, body: { objects } });
    const one = await logged('DELETE', '/objects/deleted-1', { key });
    expect(one.line).toMatchObject({ ids: { object_id: 'deleted-1' }, status: 204 });
    const path = `/objects?max_affected=9&data=${encodeURIComponent('{"kind":"deleted"}')}`;
    const several = await logged('DELETE', path, { key });
    expect(several.line).toMatchObject({ ids: { object_ids: ['deleted-2', 'deleted-3'] }, status: 200 });
  });

  it('lists at most 20 ids of at most 255 characters, and no key in the place of an id', async () => {
    const { admin: key } = project.keys;
    const body = Array.from({ length: 30 }, (_, n) => ({
      id: `sprocket-${String(n)}`,
      teeth: 5,
      pitch_diameter: 5,
      outside_diameter: 6,
      pitch: 1,
    }));
    const list = await logged('POST', '/sprockets', { key, body: { sprockets: body } });
    expect([list.reply.status, list.reply.text]).toEqual([201, expect.any(String)]);
    expect((list.line.ids as { object_ids: string[] }).object_ids).toHaveLength(20);
    const long = await logged('DELETE', `/objects/${'x'.repeat(300)}`, { key });
    expect(long.line.ids).toEqual({ object_id: 'x'.repeat(255) });
    const asId = await logged('DELETE', `/objects/${project.keys.analyst}`, { key });
    expect(asId.line.ids).toEqual({ object_id: 'stw_…' });
  });

  it('has no ids of a read, nor of a request without a key', async () => {
    const read = await logged('GET', '/objects/nothing', { key: project.keys.analyst });
    expect(read.line).toMatchObject({ status: 404 });
    expect(read.line).not.toHaveProperty('ids');
    const stranger = await logged('DELETE', '/objects/nothing', {});
    expect(stranger.line).toMatchObject({ status: 401 });
    expect(stranger.line).not.toHaveProperty('ids');
  });

  it('has no trace where traceparent is missing or invalid', async () => {
    for (const headers of [{}, { traceparent: `00-${'0'.repeat(32)}-00f067aa0ba902b7-01` }]) {
      const { line } = await logged('GET', '/me', { key: project.keys.admin, headers });
      expect(line).not.toHaveProperty('trace_id');
    }
  });

  it('has no trace of a request without a valid key', async () => {
    const { line } = await logged('GET', '/me', { headers: TRACEPARENT });
    expect(line).toMatchObject({ status: 401 });
    expect(line).not.toHaveProperty('trace_id');
  });
});

describe('the line of a job', () => {
  it('has the request, the key and the trace that it belongs to', async () => {
    const { producer: key } = project.keys;
    const body = { batch_id: 'job-log', objects: [{ object_id: 'job-log-1', data: {} }] };
    const job = await submitJob(api, 'POST', '/batches', { key, body, headers: TRACEPARENT });
    expect(await waitForJob(api, key, job)).toMatchObject({ status: 'succeeded' });
    const line = await lineWith({ job_id: job.id });
    const accepted = await lineWith({ request_id: line.request_id ?? '', method: 'POST' });
    expect(accepted).toMatchObject({ status: 202, ids: { location: `/api/v1/jobs/${job.id}` } });
    expect(line).toMatchObject({
      level: 30,
      trace_id: TRACE,
      project: project.projectId,
      key_id: await keyIdOf(key),
      operation: 'batch.create',
      attempt: 1,
      state: 'succeeded',
      status: 201,
      items: 1,
      ids: { location: '/api/v1/batches/job-log' },
      ms: expect.any(Number),
    });
  });

  it('tells that a job has failed, and why only by its status', async () => {
    const { producer: key } = project.keys;
    const body = { batch_id: 'job-log', objects: [{ object_id: 'other', data: { secret: 'a value' } }] };
    const job = await submitJob(api, 'POST', '/batches', { key, body });
    expect(await waitForJob(api, key, job)).toMatchObject({ status: 'failed' });
    const line = await lineWith({ job_id: job.id });
    expect(line).toMatchObject({ state: 'failed', status: 409 });
    expect(JSON.stringify(line)).not.toMatch(/secret|a value/);
  });
});

import { WriteOperations } from '#jobs';
import { Problem } from '#http';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { waitForJob } from './jobs.js';

interface Sample {
  method: 'POST' | 'PUT';
  path: string;
  body: unknown;
  type?: string;
  /** Default: the producer. */
  role?: keyof TestProject['keys'];
}

const OBJECT = { object_id: 'one', data: [{ key: 'type', value: 'shoe' }] };
const LINE = `${JSON.stringify(OBJECT)}\n`;
const SPROCKET = { teeth: 5, pitch_diameter: 5, outside_diameter: 6, pitch: 1 };
const CHART = { sprocket_production_actual: [32], sprocket_production_goal: [30], time: [1611194818] };
const READING = { temperature: 1, recorded_at: '2024-12-10T16:45:00Z' };
const ROOM = '/buildings/HQ/rooms/lab/temperatures';
const DEVICE = '<device>';
const NDJSON = 'application/x-ndjson';

/** A request of each kind for each operation. */
const SAMPLES: [operation: string, Sample][] = [
  ['batch.create', { method: 'POST', path: '/batches', body: { batch_id: 'a', objects: [OBJECT] } }],
  ['batch.put', { method: 'PUT', path: '/batches/a', body: { objects: [OBJECT] } }],
  ['batch.put', { method: 'PUT', path: '/batches/a', body: LINE, type: NDJSON }],
  ['batch.put', { method: 'PUT', path: '/batches/a?mode=partial', body: `${LINE}{}\n`, type: NDJSON }],
  ['batch.put', { method: 'PUT', path: '/batches/a', body: 'object_id,type\none,shoe\n', type: 'text/csv' }],
  ['object.create', { method: 'POST', path: '/objects', body: { batch_id: 'stored', ...OBJECT } }],
  ['object.replace', { method: 'PUT', path: '/objects/stored', body: { data: OBJECT.data } }],
  ['firmware.report', { method: 'POST', path: '/firmware', body: { version: '1.0.0', timestamp: 1 }, role: 'device' }],
  [
    'firmware.update',
    { method: 'POST', path: `/firmware/${DEVICE}`, body: { firmware: '1.0.0', timestamp: 1 }, role: 'device' },
  ],
  ['factories.create', { method: 'POST', path: '/factories', body: { factory: { chart_data: CHART } } }],
  ['sprockets.create', { method: 'POST', path: '/sprockets', body: SPROCKET }],
  ['sprockets.replace', { method: 'PUT', path: '/sprockets/stored-sprocket', body: { ...SPROCKET, teeth: 6 } }],
  ['temperatures.record', { method: 'POST', path: ROOM, body: READING }],
  ['temperatures.record', { method: 'POST', path: ROOM, body: [READING] }],
  ['temperatures.record', { method: 'POST', path: ROOM, body: `${JSON.stringify(READING)}\n`, type: NDJSON }],
];
const DELETION = 'project.delete';

let api: TestApp;
let project: TestProject;
/** The operations that have called their receipts, in order. */
let receipts: string[] = [];
let isRefused = false;

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'inline' });
  const operations = api.app.get(WriteOperations);
  const get = operations.get.bind(operations);
  jest.spyOn(operations, 'get').mockImplementation((name) => ({
    name,
    run: (request, receipt) =>
      get(name).run(request, async (tx, response) => {
        receipts.push(name);
        if (isRefused) throw new Problem('conflict', { detail: 'refused' });
        await receipt?.(tx, response);
      }),
  }));
});
beforeEach(async () => {
  project = await api.project();
  const objects = [{ object_id: 'stored', data: [] }];
  await send({ method: 'PUT', path: '/batches/stored', body: { objects } });
  await send({ method: 'POST', path: '/sprockets', body: { id: 'stored-sprocket', ...SPROCKET } });
  receipts = [];
  isRefused = false;
});
afterAll(async () => {
  jest.restoreAllMocks();
  await api.stop();
});

function send(
  { method, path, body, type = 'application/json', role = 'producer' }: Sample,
  prefer?: string,
): Promise<Reply> {
  const headers = { 'Content-Type': type, ...(prefer === undefined ? {} : { Prefer: prefer }) };
  return api.call(method, path.replace(DEVICE, project.deviceId), { key: project.keys[role], body, headers });
}

/** The URL of the job that a request became. */
function jobOf(reply: Reply): string {
  expect([reply.status, reply.text]).toEqual([202, reply.text]);
  return reply.headers.get('location') ?? '';
}

const endOf = async (url: string, key: string): Promise<string> => (await waitForJob(api, key, { url })).status;

/** The objects and batches of the project, and its usage. */
const stored = (): Promise<object[]> =>
  api.db.sql(
    `SELECT (SELECT coalesce(json_agg(o ORDER BY seq), '[]') FROM objects AS o WHERE project_id = $1)::text AS objects,
       (SELECT json_agg(b ORDER BY seq) FROM batches AS b WHERE project_id = $1)::text AS batches,
       (SELECT sum(objects) FROM project_usage WHERE project_id = $1) AS usage`,
    [project.projectId],
  );

describe('an operation that runs as a job', () => {
  it.each(SAMPLES)('%s has an effect only with its receipt: %j', async (operation, sample) => {
    const { admin } = project.keys;
    const before = await stored();
    isRefused = true;
    const job = jobOf(await send(sample, 'respond-async'));
    expect([await endOf(job, admin), receipts]).toEqual(['failed', [operation]]);
    expect(await stored()).toEqual(before);

    isRefused = false;
    await api.call('POST', `${job}/retry`, { key: admin });
    expect([await endOf(job, admin), receipts]).toEqual(['succeeded', [operation, operation]]);
    expect(await stored()).not.toEqual(before);
  });

  it('calls its receipt after the rows of a project are deleted', async () => {
    const key = api.operatorKey;
    const job = jobOf(await api.call('DELETE', `/projects/${String(project.projectId)}?cascade=true`, { key }));
    expect([await endOf(job, key), receipts]).toEqual(['succeeded', [DELETION]]);
  });

  it('is one of these', () => {
    const tested = new Set([...SAMPLES.map(([operation]) => operation), DELETION]);
    expect([...tested].sort()).toEqual(api.app.get(WriteOperations).names().sort());
  });
});

import { JobRunner } from '#jobs';
import { Config, createLog } from '#platform';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createApp } from '../../apps/api/create-app.js';
import { settingsFor, type TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { sequenceOfLane } from '../harness/database.js';
import { waitForJob, type Job } from './jobs.js';

const LANE = 1_000;
const NOW = Date.now();

let api: TestApp;
/** Two servers with the same lane, which generate the same numbers. */
let servers: NestFastifyApplication[];
let keys: TestProject['keys'];

beforeAll(async () => {
  api = await TestApp.start({ WORKER: 'separate' });
  ({ keys } = await api.project());
  const config = new Config({ ...settingsFor(api.db), WORKER: 'separate' });
  const createServer = (): Promise<NestFastifyApplication> =>
    createApp(config, { ...api.db, sequence: sequenceOfLane(LANE, () => NOW) }, createLog('silent'));
  servers = [await createServer(), await createServer()];
});
afterAll(async () => {
  for (const server of servers) await server.close();
  await api.stop();
});

async function submit(
  server: NestFastifyApplication | undefined,
  method: 'POST' | 'PUT',
  url: string,
  payload: string,
  headers: Record<string, string>,
): Promise<Job> {
  const response = await server?.inject({
    method,
    url: `/api/v1${url}`,
    payload,
    headers: { 'X-Api-Key': keys.producer, Prefer: 'respond-async', 'Content-Type': 'application/json', ...headers },
  });
  expect([response?.statusCode, response?.payload]).toEqual([202, response?.payload]);
  const job = response?.json<Job>();
  if (job === undefined) throw new Error('no response');
  expect(response?.headers.location).toBe(job.url);
  return { ...job, url: `/jobs/${job.id}` };
}

it('runs every accepted job when two servers generate the same job numbers', async () => {
  const jobs: Job[] = [];
  for (const [index, server] of servers.entries()) {
    const body = JSON.stringify({ batch_id: `json-${String(index)}`, objects: [] });
    jobs.push(await submit(server, 'POST', '/batches', body, {}));
    jobs.push(
      await submit(server, 'POST', '/batches', body.replace('json', 'keyed'), {
        'Idempotency-Key': `key-${String(index)}`,
      }),
    );
    const line = JSON.stringify({ object_id: `line-${String(index)}`, data: { a: index } });
    jobs.push(
      await submit(server, 'PUT', `/batches/stream-${String(index)}`, line, { 'Content-Type': 'application/x-ndjson' }),
    );
    jobs.push(
      await submit(server, 'PUT', `/batches/empty-${String(index)}`, '\n', { 'Content-Type': 'application/x-ndjson' }),
    );
  }
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(8);

  await api.app.get(JobRunner).start();
  for (const job of jobs) expect(await waitForJob(api, keys.admin, job)).toMatchObject({ status: 'succeeded' });
  const batches = await api.db.sql('SELECT batch_id, object_count FROM batches ORDER BY batch_id COLLATE "C"');
  expect(batches).toEqual(
    [
      ['empty-0', '0'],
      ['empty-1', '0'],
      ['json-0', '0'],
      ['json-1', '0'],
      ['keyed-0', '0'],
      ['keyed-1', '0'],
      ['stream-0', '1'],
      ['stream-1', '1'],
    ].map(([batch_id, object_count]) => ({ batch_id, object_count })),
  );
});

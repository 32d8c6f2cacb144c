import { JobRunner } from '#jobs';
import { Config } from '#platform';
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
  const startServer = async (): Promise<NestFastifyApplication> => {
    const sequence = sequenceOfLane(LANE, () => NOW);
    const server = await createApp(config, { ...api.db, sequence });
    await server.listen(0, '127.0.0.1');
    return server;
  };
  servers = [await startServer(), await startServer()];
});
afterAll(async () => {
  for (const server of servers) await server.close();
  await api.stop();
});

async function submit(
  server: NestFastifyApplication,
  method: 'POST' | 'PUT',
  url: string,
  body: string,
  headers: Record<string, string>,
): Promise<Job> {
  const response = await fetch(`${await server.getUrl()}/api/v1${url}`, {
    method,
    body,
    headers: { 'X-Api-Key': keys.producer, Prefer: 'respond-async', 'Content-Type': 'application/json', ...headers },
  });
  const text = await response.text();
  expect([response.status, text]).toEqual([202, text]);
  const job = JSON.parse(text) as Job;
  expect(response.headers.get('location')).toBe(job.url);
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

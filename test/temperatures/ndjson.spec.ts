import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { waitForJob, type Job } from '../jobs/jobs.js';
import type { PageBody } from '../objects/wire.js';
import { RoomClient, type AverageBody, type ReadingBody } from './room-client.js';

let api: TestApi;
let project: TestProject;
let lab: RoomClient;

beforeAll(async () => {
  api = await TestApi.shared();
});
beforeEach(async () => {
  project = await api.project();
  lab = new RoomClient(api, project);
});
afterAll(() => api.stop());

const TYPE = { 'Content-Type': 'application/x-ndjson' };
const post = (body: string | Buffer, headers: Record<string, string> = {}): Promise<Reply> =>
  lab.post(body, { headers: { ...TYPE, ...headers } });

const START = Date.parse('2024-12-10T00:00:00Z');
/** A line with a reading of the second `n` of a day. */
const line = (n: number, temperature: number | string = n): string =>
  `{"temperature":${String(temperature)},"recorded_at":"${new Date(START + n * 1_000).toISOString()}"}\n`;
const lines = (count: number, first = 0): string => Array.from({ length: count }, (_, n) => line(first + n)).join('');
const countStored = async (): Promise<number> => {
  const { text } = await api.call('GET', '/objects?count=exact', { key: project.keys.analyst });
  return (JSON.parse(text) as PageBody<unknown>).count ?? 0;
};

describe('POST .../temperatures as NDJSON', () => {
  it('stores more readings than an array may have, and replaces those of the same time', async () => {
    await lab.store([{ temperature: 1000, recorded_at: '2024-12-10T00:00:07Z' }]);
    // The last one has the time of one in an earlier part.
    const reply = await post(gzipSync(`${lines(12_000)}\n\r\n${line(3, '3.50')}`), { 'Content-Encoding': 'gzip' });
    expect([reply.status, reply.json()]).toEqual([201, { building: 'HQ', room: 'lab', stored: 12_001, replaced: 2 }]);
    expect(await countStored()).toBe(12_000);
    const { text } = await lab.get('?until=2024-12-10T00:00:04Z&page_size=1');
    expect(text).toContain('"temperature":3.50,"recorded_at":"2024-12-10T00:00:03Z"');
    const average = (await lab.average('10s', '2024-12-10T00:00:10Z')).json<AverageBody>();
    expect(average).toMatchObject({ average_temperature: 4.55, reading_count: 10 });
    // The index has them.
    const found = await api.call('GET', '/objects?data={"temperature":11999}', { key: project.keys.analyst });
    expect(found.json<PageBody<unknown>>().count).toBe(1);
    const usage = await api.call('GET', '/usage', { key: project.keys.admin });
    expect(usage.json()).toMatchObject({ objects: 12_000 });
    const audit = await api.call('GET', '/audit?action=objects.replace', { key: project.keys.admin });
    expect(audit.json<PageBody<{ details: object }>>().results).toMatchObject([{ details: { object_count: 2 } }]);
  });

  it('stores nothing where a line is not valid, and names the lines', async () => {
    const bad = `${lines(3_000)}{"temperature":"warm"}\nnonsense\n\n{"temperature":1e400}\n${lines(3_000, 5_000)}{"recorded_at":"2024-12-10"}`;
    expect(expectProblem(await post(bad), 'invalid-body').errors).toEqual([
      { pointer: '/lines/3001/temperature', detail: 'must be a number' },
      { pointer: '/lines/3002', detail: 'is not valid JSON at column 1' },
      { pointer: '/lines/3004/temperature', detail: expect.stringMatching(/^must be a number from -1.8e308/) },
      { pointer: '/lines/6005/temperature', detail: 'is missing' },
      { pointer: '/lines/6005/recorded_at', detail: expect.stringMatching(/^must be a time/) },
    ]);
    const many = expectProblem(await post('{}\n'.repeat(2_000)), 'invalid-body');
    expect([many.errors?.length, many.error_count_is]).toEqual([100, 'at_least']);
    for (const empty of ['', '\n \r\n']) {
      expect(expectProblem(await post(empty), 'invalid-body').detail).toBe('The body must have at least one reading.');
    }
    expectProblem(await post(`{"temperature":1${' '.repeat(1024 ** 2)}}`), 'too-large');
    expect(await countStored()).toBe(0);
  });

  it('gives readings without a time those of their arrival, one after the other', async () => {
    expect((await post('{"temperature":1}\n{"temperature":2}\n')).json()).toMatchObject({ stored: 2, replaced: 0 });
    const { results } = (await lab.get()).json<PageBody<ReadingBody>>();
    expect(results.map(({ temperature }) => temperature)).toEqual([2, 1]);
  });

  it('runs as a job', async () => {
    const accepted = await post(lines(3), { Prefer: 'respond-async' });
    expect(accepted.status).toBe(202);
    const job = await waitForJob(api, project.keys.producer, accepted.json<Job>());
    expect(job).toMatchObject({ status: 'succeeded', result_status: 201, result: { stored: 3, replaced: 0 } });
  });

  it('takes no Idempotency-Key, because a stream is read once', async () => {
    expectProblem(await post(lines(1), { 'Idempotency-Key': 'k' }), 'invalid-header');
  });

  it('stores the same readings of concurrent streams once', async () => {
    const replies = await Promise.all(Array.from({ length: 4 }, () => post(lines(3_000))));
    expect(replies.map(({ status, text }) => [status, text])).toEqual(replies.map(({ text }) => [201, text]));
    expect(replies.reduce((sum, reply) => sum + reply.json<{ replaced: number }>().replaced, 0)).toBe(9_000);
    expect(await countStored()).toBe(3_000);
  });
});

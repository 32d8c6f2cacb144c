import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import type { PageBody } from '../objects/wire.js';
import { RoomClient, type ReadingBody } from './room-client.js';

/** The objects of a stream that one statement stores. */
const PART = 2_000;
/** What a project may write at a time, see `libs/jobs/src/write-slots.ts`. */
const SLOTS = 2;
const STREAMS = 6;

let api: TestApi;
let project: TestProject;
let lab: RoomClient;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate' });
});
beforeEach(async () => {
  project = await api.project();
  lab = new RoomClient(api, project);
});
afterAll(() => api.stop());

const START = Date.parse('2024-12-10T00:00:00Z');
const timeOf = (second: number): string => new Date(START + second * 1_000).toISOString();
const linesOf = (seconds: readonly number[], temperature: number): string =>
  seconds.map((second) => `${JSON.stringify({ temperature, recorded_at: timeOf(second) })}\n`).join('');
const span = (first: number, count: number): number[] => Array.from({ length: count }, (_, at) => first + at);

/** Stores the readings of some seconds as a stream, which has a batch of its own. */
const stream = (seconds: readonly number[], temperature: number, room = lab): Promise<Reply> =>
  room.post(linesOf(seconds, temperature), { headers: { 'Content-Type': 'application/x-ndjson' } });

async function batchOf(second: number): Promise<string> {
  const [row] = await api.db.sql<{ batch_id: string }>(
    'SELECT batch_id FROM objects WHERE project_id = $1 AND observed_at = $2',
    [project.projectId, timeOf(second)],
  );
  return row?.batch_id ?? '';
}

const waitForLocks = (count: number): Promise<boolean> =>
  waitFor(async () => ((await countLockWaits(api.db)) >= count ? true : undefined));

/** Works while the batches of some readings are locked. */
function whileLocked<T>(seconds: readonly number[], work: () => Promise<T>): Promise<T> {
  return api.db.transaction(async (tx) => {
    for (const second of seconds) {
      const values = [project.projectId, await batchOf(second)];
      await tx.query('SELECT FROM batches WHERE project_id = $1 AND batch_id = $2 FOR UPDATE', values);
    }
    return work();
  });
}

const statusesOf = async (replies: readonly Promise<Reply>[]): Promise<number[]> =>
  (await Promise.all(replies)).map(({ status }) => status);

describe('streams of readings that have arrived', () => {
  it('are written two at a time for a project, so that others are stored meanwhile', async () => {
    await stream([0], 1);
    const other = await api.project();
    const replies = await whileLocked([0], async () => {
      const own = span(0, STREAMS).map((n) => stream([0, 10 + n], 2));
      await waitForLocks(SLOTS);
      // Sent after the others, and stored.
      const { status } = await stream([0], 3, new RoomClient(api, other));
      expect([status, await countLockWaits(api.db)]).toEqual([201, SLOTS]);
      return own;
    });
    expect(await statusesOf(replies)).toEqual(Array(STREAMS).fill(201));
    const { results } = (await lab.get('?page_size=100')).json<PageBody<ReadingBody>>();
    expect(results).toHaveLength(1 + STREAMS);
  });

  it('are all stored, each once, where two replace the same readings in opposite orders', async () => {
    const [a, b, gateOfFirst, gateOfSecond] = [0, 1, 2, 3] as const;
    for (const second of [a, b, gateOfFirst, gateOfSecond]) await stream([second], 0);
    // Each statement locks the batches of its part: first that of one reading, and in the last part that of the other one.
    const first = [a, ...span(10_000, PART - 1), gateOfFirst, ...span(20_000, PART - 1), b];
    const second = [b, ...span(30_000, PART - 1), gateOfSecond, ...span(40_000, PART - 1), a];
    const replies = await whileLocked([gateOfFirst, gateOfSecond], async () => {
      const sent = [stream(first, 1), stream(second, 2)];
      // Both have the batch that the other one needs.
      await waitForLocks(2);
      return sent;
    });
    expect(await statusesOf(replies)).toEqual([201, 201]);
    const { text } = await api.call('GET', '/objects?count=exact&page_size=1', { key: project.keys.analyst });
    expect((JSON.parse(text) as PageBody<unknown>).count).toBe(4 * PART);
    const values = await Promise.all([a, b].map((one) => lab.get(`?until=${timeOf(one + 1)}&page_size=1`)));
    const [temperatureOfA, temperatureOfB] = values.map(
      (reply) => reply.json<PageBody<ReadingBody>>().results[0]?.temperature,
    );
    // The stream that was stored last has replaced both.
    expect([temperatureOfA, [1, 2]]).toEqual([temperatureOfB, expect.arrayContaining([temperatureOfA])]);
  });
});

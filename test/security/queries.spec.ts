import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { expectProblem } from '../errors/expect-problem.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';

const TIMEOUT_MS = 300;

let api: TestApi;
let patient: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ QUERY_TIMEOUT_MS: String(TIMEOUT_MS) });
  patient = await api.another({ QUERY_TIMEOUT_MS: '120000' });
  project = await api.project();
  const body = { batch_id: 'b', objects: [{ object_id: 'o', data: { n: 1 } }] };
  expect((await api.call('POST', '/batches', { key: project.keys.producer, body })).status).toBe(201);
});
afterAll(async () => {
  await patient.stop();
  await api.stop();
});

const untilLockWaits = (count: number): Promise<boolean> =>
  waitFor(async () => ((await countLockWaits(api.db)) === count ? true : undefined));

/** Runs the work while every query of objects waits, as if it were slow. */
function whileQueriesAreSlow(work: () => Promise<void>): Promise<void> {
  return api.db.transaction(async (tx) => {
    await tx.query('LOCK TABLE objects');
    await work();
  });
}

describe('a read that takes longer than QUERY_TIMEOUT_MS', () => {
  it.each([
    '/objects/o',
    '/objects?key=n&count=exact',
    '/objects/keys',
    '/objects/facets?key=n',
    '/objects/aggregate?op=avg&key=n',
    '/batches/b',
    '/batches?key=n',
  ])('returns 503 with what to change, and its query ends: GET %s', async (path) => {
    await whileQueriesAreSlow(async () => {
      const { detail } = expectProblem(await api.call('GET', path, { key: project.keys.analyst }), 'unavailable');
      expect(detail).toContain(`cancelled after ${String(TIMEOUT_MS)} ms (QUERY_TIMEOUT_MS)`);
      await untilLockWaits(0);
    });
    expect((await api.call('GET', path, { key: project.keys.analyst })).status).toBe(200);
  });
});

it('a write has no such limit', async () => {
  let posted = api.call('GET', '/limits');
  await whileQueriesAreSlow(async () => {
    const body = { batch_id: 'b', object_id: 'slow', data: [] };
    posted = api.call('POST', '/objects', { key: project.keys.producer, body });
    await untilLockWaits(1);
    expectProblem(await api.call('GET', '/objects/o', { key: project.keys.analyst }), 'unavailable');
    expect(await countLockWaits(api.db)).toBe(1);
  });
  expect((await posted).status).toBe(201);
});

describe('a client that leaves before its response', () => {
  it('ends the query of its read', async () => {
    await whileQueriesAreSlow(async () => {
      const leaving = new AbortController();
      const request = fetch(`${patient.origin}/api/v1/objects/o`, {
        headers: { 'X-Api-Key': project.keys.analyst },
        signal: leaving.signal,
      });
      await untilLockWaits(1);
      leaving.abort();
      await expect(request).rejects.toThrow();
      await untilLockWaits(0);
    });
  });

  it('does not end a write that has begun', async () => {
    await whileQueriesAreSlow(async () => {
      const leaving = new AbortController();
      const request = fetch(`${patient.origin}/api/v1/objects`, {
        method: 'POST',
        headers: { 'X-Api-Key': project.keys.producer, 'Content-Type': 'application/json' },
        body: JSON.stringify({ batch_id: 'b', object_id: 'left', data: [] }),
        signal: leaving.signal,
      });
      await untilLockWaits(1);
      leaving.abort();
      await expect(request).rejects.toThrow();
      // Answered after the server has seen the client leave.
      expect((await patient.call('GET', '/batches', { key: project.keys.analyst })).status).toBe(200);
      expect(await countLockWaits(api.db)).toBe(1);
    });
    await waitFor(async () => {
      const reply = await api.call('GET', '/objects/left', { key: project.keys.analyst });
      return reply.status === 200 ? true : undefined;
    });
  });
});

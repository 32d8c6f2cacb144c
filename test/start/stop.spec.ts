import { once } from 'node:events';
import { request, type ClientRequest } from 'node:http';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';

/** Of pino. */
const ERROR_LEVEL = 50;

/** Keeps the database after the server that is stopped. */
let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterAll(() => api.stop());

it('a server that stops stores the readings whose clients have left, and logs no error', async () => {
  const server = await TestApi.startOn(api.db);
  let stopping: Promise<void> | undefined;
  await api.db.transaction(async (tx) => {
    await tx.query('LOCK TABLE objects IN SHARE MODE');
    const first = await sendReading(server);
    await waitFor(async () => {
      return (await countLockWaits(api.db)) > 0 ? true : undefined;
    });
    // It waits for the statement of the first one.
    const second = await sendReading(server);
    // The server has read the second body when it responds to a later request.
    expect((await fetch(`${server.origin}/health/live`)).status).toBe(200);
    for (const one of [first, second]) one.destroy();
    stopping = server.stop();
    await waitFor(() =>
      fetch(`${server.origin}/health/live`).then(
        () => undefined,
        () => true,
      ),
    );
  });
  await stopping;
  expect(await api.db.sql(`SELECT FROM objects WHERE batch_id LIKE 'temperatures%'`)).toHaveLength(2);
  expect((await server.log()).filter(({ level }) => level >= ERROR_LEVEL)).toEqual([]);
});

/** Sends a reading, whose request the server has accepted when this resolves. */
async function sendReading({ origin }: TestApi): Promise<ClientRequest> {
  const sending = request(`${origin}/api/v1/buildings/a/rooms/b/temperatures`, {
    method: 'POST',
    headers: { 'X-Api-Key': project.keys.producer, 'Content-Type': 'application/json', Expect: '100-continue' },
  });
  sending.on('error', () => undefined);
  sending.flushHeaders();
  await once(sending, 'continue');
  await new Promise<void>((resolve) => sending.end('{"temperature":21}', resolve));
  return sending;
}

import { expect, it } from '@jest/globals';
import { TestApi, type Reply } from '../harness/api.js';
import { countLockWaits } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';

const MARKER = 'a-value-of-the-client';

it('a slow statement of a request is in the log of the server, and nothing of its filter', async () => {
  const api = await TestApi.start({ SLOW_STATEMENT_MS: '100' });
  const { keys } = await api.project();
  let reading: Promise<Reply> | undefined;
  await api.db.transaction(async (tx) => {
    await tx.query('LOCK TABLE objects IN ACCESS EXCLUSIVE MODE');
    reading = api.call('GET', `/objects?data=${encodeURIComponent(JSON.stringify({ [MARKER]: MARKER }))}`, {
      key: keys.analyst,
    });
    await waitFor(async () => ((await countLockWaits(api.db)) > 0 ? true : undefined));
    await tx.query('SELECT pg_sleep(0.2)');
  });
  expect((await reading)?.status).toBe(200);
  const line = await waitFor(async () =>
    (await api.log()).find(({ msg, text }) => msg === 'a slow statement' && String(text).includes('objects')),
  );
  expect(line).toMatchObject({ level: 40, ms: expect.any(Number) });
  expect(JSON.stringify(await api.log())).not.toContain(MARKER);
  await api.stop();
});

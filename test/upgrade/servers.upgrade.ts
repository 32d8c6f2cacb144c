import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Ledger } from '../faults/ledger.js';
import { SHARED_BATCH } from '../faults/writes.js';
import { Fleet } from './fleet.js';

/** Writes of each step of the upgrade. */
const WRITES = 25;

let fleet: Fleet;
beforeAll(async () => {
  const { PREVIOUS_VERSION: previous } = process.env;
  if (previous === undefined) throw new Error('run these tests by npm run test:upgrade');
  fleet = await Fleet.create(previous);
});
afterAll(() => fleet.close());

const READS = ['/objects?key=type&value=shoe', '/objects?count=exact', '/batches', '/objects/facets?key=type', '/jobs'];

/** Reads until the signal. @returns every response that is not 200 */
async function read(signal: AbortSignal): Promise<string[]> {
  const failed: string[] = [];
  for (let n = 0; !signal.aborted; n++) {
    const path = READS[n % READS.length] ?? '';
    const { status, text } = await fleet.call(path);
    if (status !== 200) failed.push(`${path}: ${String(status)} ${text}`);
  }
  return failed;
}

it('servers and workers of the previous version run beside those of this one while the database is upgraded under load: no request fails and nothing is lost', async () => {
  expect(await fleet.migrate('previous')).toMatch(/^ran \d+ migrations$/m);
  const stopOldServer = await fleet.startServer('previous');
  const stopOldWorker = await fleet.startWorker('previous');
  const body = JSON.stringify({ batch_id: SHARED_BATCH, objects: [] });
  const headers = { 'Content-Type': 'application/json' };
  expect((await fleet.call('/batches', { method: 'POST', headers, body })).status).toBe(201);

  const ledger = new Ledger(fleet);
  const stop = new AbortController();
  const load = Promise.all([ledger.produce(stop.signal, false), read(stop.signal)]);
  const moreWrites = async (): Promise<void> => {
    const until = ledger.tally.sent + WRITES;
    while (ledger.tally.sent < until) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await moreWrites();
  expect(await fleet.migrate('current')).toMatch(/^ran \d+ migrations?$/m);
  await moreWrites();
  const stopNewServer = await fleet.startServer('current');
  await moreWrites();
  const stopNewWorker = await fleet.startWorker('current');
  await moreWrites();
  await stopOldServer();
  await stopOldWorker();
  await moreWrites();
  stop.abort();
  const [, failedReads] = await load;

  expect(failedReads).toEqual([]);
  await ledger.verify();
  expect(ledger.faults).toEqual([]);
  expect(ledger.tally).toMatchObject({ unavailable: 0, withoutResponse: 0, deadLetters: 0 });
  await stopNewServer();
  await stopNewWorker();
});

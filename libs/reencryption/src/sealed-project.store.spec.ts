import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { SealedProjectStore } from './sealed-project.store.js';

const KEY = 'k';
let db: TestDatabase;
/** Those of two processes. */
let first: SealedProjectStore;
let second: SealedProjectStore;

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

/** Three projects that are due; the list of the third one was changed first. */
beforeEach(async () => {
  [first, second] = [new SealedProjectStore(db.database), new SealedProjectStore(db.database)];
  await db.sql('DELETE FROM projects');
  await db.sql(
    `INSERT INTO projects (project_id, seq, name, encryption_key_id, encryption_cursor, encryption_changed_at)
     SELECT n, n, n::text, $1, 0, now() - n * interval '1 hour' FROM generate_series(1, 3) AS n`,
    [KEY],
  );
});

async function take(store: SealedProjectStore, own: readonly number[] = [], most = 100): Promise<number[]> {
  return (await store.take(KEY, own, most)).map(({ projectId }) => projectId).sort();
}

const expire = (): Promise<unknown> =>
  db.sql('UPDATE projects SET encryption_leased_until = now() WHERE project_id <= 2');

it('gives a project to one process until its lease expires', async () => {
  expect(await take(first)).toEqual([1, 2, 3]);
  expect(await take(second)).toEqual([]);
  await expire();
  expect(await take(second)).toEqual([1, 2]);
  expect(await take(first, [1, 2, 3])).toEqual([]);
});

it('gives projects back that the process still has, and leaves those that someone else has locked', async () => {
  await take(first);
  await expire();
  await take(second);
  await first.giveBack([1, 2, 3]);
  expect(await take(first)).toEqual([3]);
  await db.transaction(async (tx) => {
    await tx.query('SELECT FROM projects WHERE project_id = 1 FOR UPDATE');
    await second.giveBack([1, 2]);
    expect(await take(first, [3])).toEqual([2]);
  });
  expect(await take(first, [2, 3])).toEqual([]);
});

it('gives a process its own projects again whose walks an error has ended, and no others', async () => {
  await take(first, [], 2);
  expect(await take(second)).toEqual([1]);
  expect(await take(first, [3])).toEqual([2]);
});

it('takes no more than a process has room for, and those last that were walked before', async () => {
  expect(await take(first, [], 1)).toEqual([3]);
  await first.giveBack([3]);
  expect(await take(second, [], 1)).toEqual([2]);
  expect(await take(second, [2], 1)).toEqual([1]);
  expect(await take(second, [1, 2], 1)).toEqual([3]);
});

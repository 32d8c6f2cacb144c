import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DiskReserve } from '#database';
import { Config } from '#platform';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { DeletionIds } from './deletion-ids.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

/** @param reserveBytes of the disk of this machine */
async function next(reserveBytes: number): Promise<string | null> {
  const disk = new DiskReserve({ path: '/', reserveBytes, warn: () => undefined });
  await disk.start();
  try {
    return await new DeletionIds(db.sequence, disk, new Config({})).next(db.database, 1);
  } finally {
    disk.stop();
  }
}

describe('DeletionIds', () => {
  it('keeps nothing while the disk is nearly full, so that deletes free space', async () => {
    expect(await next(1)).toEqual(expect.stringMatching(/^\d+$/));
    expect(await next(Number.MAX_SAFE_INTEGER)).toBeNull();
  });
});

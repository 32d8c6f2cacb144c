import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SegmentMergeStore, SegmentStore } from '#inverted-index';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';
import { PROJECT, storeMixed } from './mixed-objects.js';

const ALL = 2n ** 62n;
/** One segment, in which objects have a former value. */
const OBJECTS = 30;

let db: TestDatabase;
let merges: SegmentMergeStore;
beforeAll(async () => {
  db = await cloneDatabase();
  merges = new SegmentMergeStore(db.database, new SegmentStore(db.database));
  const lists = Array.from({ length: OBJECTS }, () => [['name', 'secret'] as [string, string]]);
  await storeMixed(db, lists, lists, 1);
});
afterAll(() => db.close());

const drop = (): Promise<string> => merges.dropValuesOf(PROJECT, ['name'], ALL);

describe('the former values of keys', () => {
  it('are not said to be dropped while the index is being built', async () => {
    await db.sql('INSERT INTO index_builds (project_id, below_seq) VALUES ($1, 1)', [PROJECT]);
    expect(await drop()).toBe('busy');
    await db.sql('DELETE FROM index_builds');
  });

  it('are not said to be dropped while their segment is locked', async () => {
    await db.database.transaction(async (tx) => {
      await tx.query('SELECT FROM index_segments WHERE project_id = $1 FOR UPDATE', [PROJECT]);
      expect(await drop()).toBe('busy');
    });
  });

  it('are dropped otherwise', async () => {
    expect([await drop(), await drop()]).toEqual(['dropped', 'none']);
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { countLockWaits } from '../../../test/harness/tables.js';
import { waitFor } from '../../../test/jobs/jobs.js';
import { ChangeStore } from './change.store.js';

const PROJECT = 1;
/** What one statement collects. */
const COLLECTED = 5_000;

let db: TestDatabase;
let store: ChangeStore;

beforeAll(async () => {
  db = await cloneDatabase();
  store = new ChangeStore(db.database);
});
afterAll(() => db.close());

beforeEach(async () => {
  await db.sql('TRUNCATE change_feeds, changes, pending_changes');
});

/** Pending deletions, each of as many objects. */
async function addPending(rows: number, ids = 1): Promise<void> {
  await db.sql(
    `INSERT INTO pending_changes (project_id, wal_position, kind, batch_id, is_batch, object_ids, objects, changed_at)
     SELECT $1, '0/0'::pg_lsn + n, 'deleted', 'b' || n, false, ARRAY(SELECT 'o' || i FROM generate_series(1, $3::int) AS i), $3, now()
     FROM generate_series(1, $2::int) AS n`,
    [PROJECT, rows, ids],
  );
}

/** How far the feed has moved since it began. */
const moved = async (start: string): Promise<string> =>
  (BigInt((await store.head(PROJECT))?.last_position ?? 0) - BigInt(start)).toString();

describe('a feed that begins', () => {
  it('is at a random position beyond those of feeds that began at 0, so that no cursor of another feed is valid in it', async () => {
    const first = BigInt(await store.follow(PROJECT));
    await db.sql('DELETE FROM change_feeds');
    const second = BigInt(await store.follow(PROJECT));
    expect(second).not.toBe(first);
    expect([first >= 2n ** 40n, second >= 2n ** 40n]).toEqual([true, true]);
    expect((await store.head(PROJECT))?.deleted_until).toBe(second.toString());
    expect(await store.follow(PROJECT)).toBe(second.toString());
  });
});

describe('collecting changes', () => {
  it('in several steps gives all of them positions in their order', async () => {
    const start = await store.follow(PROJECT);
    await addPending(COLLECTED + 1);
    expect([await store.collect(PROJECT), await store.collect(PROJECT)]).toEqual([true, false]);
    const [found] = await db.sql(
      `SELECT count(*) AS changes, bool_and(batch_id = 'b' || position - $1::bigint) AS in_order, max(position) - $1::bigint AS last FROM changes`,
      [start],
    );
    expect(found).toEqual({ changes: String(COLLECTED + 1), in_order: true, last: String(COLLECTED + 1) });
    expect(await moved(start)).toBe(String(COLLECTED + 1));
  });

  it('says that there is more when another collector has moved what it chose', async () => {
    const start = await store.follow(PROJECT);
    await addPending(COLLECTED + 10);
    let second: Promise<boolean> | undefined;
    await db.transaction(async (tx) => {
      await tx.query('SELECT FROM change_feeds WHERE project_id = $1 FOR UPDATE', [PROJECT]);
      second = store.collect(PROJECT);
      await waitFor(async () => (await countLockWaits(db)) > 0 || undefined);
      await tx.query('DELETE FROM pending_changes WHERE wal_position <= $1', [`0/${COLLECTED.toString(16)}`]);
    });
    expect(await second).toBe(true);
    expect(await store.collect(PROJECT)).toBe(false);
    expect(await moved(start)).toBe('10');
  });

  it('with many ids takes several steps, so that no statement holds all of them', async () => {
    const start = await store.follow(PROJECT);
    await addPending(150, 1_000);
    expect(await store.collect(PROJECT)).toBe(true);
    expect(await moved(start)).toBe('10100');
    expect(await store.collect(PROJECT)).toBe(false);
    expect(await moved(start)).toBe('15150');
  });

  it('moves the position further for changes with many ids, so that what is kept of a project is bounded', async () => {
    const start = await store.follow(PROJECT);
    await addPending(2, 1_000);
    await store.collect(PROJECT);
    expect(await moved(start)).toBe('202');
  });

  it('follows after all that was committed before', async () => {
    await addPending(COLLECTED + 1);
    const end = await store.follow(PROJECT);
    expect(await db.sql('SELECT max(position) AS position FROM changes')).toEqual([{ position: end }]);
    expect(await db.sql('SELECT FROM pending_changes')).toEqual([]);
  });
});

describe('reading changes', () => {
  it('ends with the row that reaches the most objects, and continues inside of a row', async () => {
    const start = BigInt(await store.follow(PROJECT));
    await addPending(5, 1_000);
    await store.collect(PROJECT);
    const sizes = async (skippedIds: string): Promise<(number | undefined)[] | undefined> => {
      const rows = await store.read(PROJECT, (start + 101n).toString(), 200, { objectsMax: 1_500, skippedIds });
      return rows?.map((row) => row.object_ids?.length);
    };
    expect(await sizes('0')).toEqual([1_000, 1_000]);
    expect(await sizes('999')).toEqual([1, 1_000]);
    expect(await sizes('9223372036854775807')).toEqual([0, 1_000]);
    const all = await store.read(PROJECT, (start + 1n).toString(), 200);
    expect(all?.map((row) => [row.objects, row.object_ids, row.last_position])).toEqual(
      Array.from({ length: 5 }, () => ['1000', null, (start + 505n).toString()]),
    );
  });
});

describe('touching a feed', () => {
  it('does not wait for a transaction that has locked it', async () => {
    await store.follow(PROJECT);
    await db.sql(`UPDATE change_feeds SET read_at = now() - interval '1 hour'`);
    await db.transaction(async (tx) => {
      await tx.query('SELECT FROM change_feeds WHERE project_id = $1 FOR UPDATE', [PROJECT]);
      await store.touch(PROJECT);
    });
    expect((await store.head(PROJECT))?.is_old).toBe(true);
    await store.touch(PROJECT);
    expect((await store.head(PROJECT))?.is_old).toBe(false);
  });
});

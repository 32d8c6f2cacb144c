import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { AuditLog, COMMAND_LINE } from '#audit';
import { dataOf, type NewObjectRow } from '#store';
import { Config } from '#platform';
import { QuotaStore, RecentProjects, UsageStore } from '#usage';
import { FeedWriteStore } from './feed-write.store.js';
import type { FeedWriteResult } from './feed-write.js';
import { FeedWriter } from './feed-writer.js';

let db: TestDatabase;
let writer: FeedWriter;
let project = 0;

beforeAll(async () => {
  db = await cloneDatabase();
  writer = writerOf(db);
});
afterAll(() => db.close());

/** Remembers rejections for the whole test. */
class UnhurriedQuotas extends QuotaStore {
  protected override readonly nearLimit = new RecentProjects(1_000, () => 0);
}

function writerOf({ database, sequence }: TestDatabase, store = new FeedWriteStore(database)): FeedWriter {
  const quotas = new UnhurriedQuotas(database, new Config({}));
  return new FeedWriter(
    store,
    new UsageStore(quotas, database),
    quotas,
    new AuditLog(),
    database,
    sequence,
    new Config({}),
  );
}

function reading(objectId: string, value: number): NewObjectRow {
  const data = dataOf([['temperature', String(value)]]);
  return { objectId, subject: 'lab', observedAt: '2024-12-10T16:45:00Z', data };
}

/** A reading with text of this length. */
function largeReading(objectId: string, length: number): NewObjectRow {
  return { ...reading(objectId, 1), data: dataOf([['text', JSON.stringify('x'.repeat(length))]]) };
}

const writeObjects = (
  objects: NewObjectRow[],
  ifExists: 'keep' | 'replace' = 'replace',
  batchId = 'readings',
  by = writer,
): Promise<FeedWriteResult[]> => by.write({ projectId: project, actor: COMMAND_LINE, batchId, objects, ifExists });

async function stored(): Promise<Record<string, string>> {
  const rows = await db.sql<{ object_id: string; batch_id: string; value: string }>(
    `SELECT object_id, batch_id, data->0->>'value' AS value FROM objects WHERE project_id = $1 ORDER BY object_id`,
    [project],
  );
  return Object.fromEntries(rows.map((row) => [`${row.batch_id}/${row.object_id}`, row.value]));
}

/** The object_count of each batch, and the number of its objects. */
async function counts(): Promise<[string, number, number][]> {
  const rows = await db.sql<{ batch_id: string; object_count: number; found: number }>(
    `SELECT batch_id, object_count::int AS object_count,
       (SELECT count(*)::int FROM objects AS o WHERE o.project_id = b.project_id AND o.batch_id = b.batch_id) AS found
     FROM batches AS b WHERE project_id = $1 ORDER BY batch_id`,
    [project],
  );
  return rows.map(({ batch_id, object_count, found }) => [batch_id, object_count, found]);
}

beforeEach(async () => {
  project++;
  await db.sql(`INSERT INTO projects (project_id, name, seq) VALUES ($1::int, $1::text, $1)`, [project]);
});

describe('a write of a feed', () => {
  it('is stored in its batch, which is created with the first object and counts all', async () => {
    expect(await writeObjects([reading('a', 1), reading('b', 2)])).toEqual(['added', 'added']);
    expect(await writeObjects([reading('c', 3)])).toEqual(['added']);
    expect(await stored()).toEqual({ 'readings/a': '1', 'readings/b': '2', 'readings/c': '3' });
    expect(await counts()).toEqual([['readings', 3, 3]]);
  });

  it('replaces an existing object in any batch, and changes the revision of that batch but not its count', async () => {
    await writeObjects([reading('a', 1)], 'replace', 'monday');
    const revision = async (): Promise<string[]> =>
      (
        await db.sql<{ revision: string }>(
          `SELECT revision FROM batches WHERE project_id = $1 AND batch_id = 'monday'`,
          [project],
        )
      ).map((row) => row.revision);
    const before = await revision();
    expect(await writeObjects([reading('a', 5), reading('b', 2)], 'replace', 'tuesday')).toEqual(['replaced', 'added']);
    expect(await stored()).toEqual({ 'monday/a': '5', 'tuesday/b': '2' });
    expect(await counts()).toEqual([
      ['monday', 1, 1],
      ['tuesday', 1, 1],
    ]);
    expect(await revision()).not.toEqual(before);
  });

  it('keeps an existing object with ifExists=keep', async () => {
    await writeObjects([reading('a', 1)], 'keep');
    expect(await writeObjects([reading('a', 5), reading('b', 2)], 'keep')).toEqual(['kept', 'added']);
    expect(await stored()).toEqual({ 'readings/a': '1', 'readings/b': '2' });
    expect(await counts()).toEqual([['readings', 2, 2]]);
  });

  it('creates no batch when every object already exists', async () => {
    await writeObjects([reading('a', 1)], 'keep', 'monday');
    expect(await writeObjects([reading('a', 1)], 'keep', 'tuesday')).toEqual(['kept']);
    expect(await writeObjects([reading('a', 2)], 'replace', 'wednesday')).toEqual(['replaced']);
    expect(await counts()).toEqual([['monday', 1, 1]]);
  });

  it('stores the last of two objects with the same id in one write, or the first with ifExists=keep', async () => {
    expect(await writeObjects([reading('a', 1), reading('a', 2)])).toEqual(['added', 'replaced']);
    expect(await writeObjects([reading('b', 1), reading('b', 2)], 'keep')).toEqual(['added', 'kept']);
    expect(await stored()).toEqual({ 'readings/a': '2', 'readings/b': '1' });
  });

  it('shares commits with hundreds of concurrent writes, and stores each object once', async () => {
    const commits = async (): Promise<number> =>
      Number(
        (
          await db.sql<{ n: string }>(`SELECT count(DISTINCT xmin::text) AS n FROM objects WHERE project_id = $1`, [
            project,
          ])
        )[0]?.n,
      );
    const all = Array.from({ length: 300 }, (_, n) => writeObjects([reading(`r${String(n)}`, n)]));
    expect((await Promise.all(all)).flat()).toEqual(Array.from({ length: 300 }, () => 'added'));
    expect(Object.keys(await stored())).toHaveLength(300);
    expect(await counts()).toEqual([['readings', 300, 300]]);
    expect(await commits()).toBeLessThan(30);
  });

  it('is the only one of its group to fail on a data error', async () => {
    const invalid = { ...reading('bad', 1), data: '[{"key":"temperature","value":"\\u0000"}]' };
    const outcomes = await Promise.allSettled([
      writeObjects([reading('first', 0)]),
      writeObjects([reading('a', 1)]),
      writeObjects([invalid]),
      writeObjects([reading('b', 2)]),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(Object.keys(await stored())).toEqual(['readings/a', 'readings/b', 'readings/first']);
    expect(await counts()).toEqual([['readings', 3, 3]]);
  });

  it('is rejected with its group, without individual retries, when the data did not cause the error', async () => {
    await db.sql('ALTER TABLE batches RENAME TO away');
    const outcomes = await Promise.allSettled([writeObjects([reading('a', 1)]), writeObjects([reading('b', 2)])]);
    await db.sql('ALTER TABLE away RENAME TO batches');
    const reasons = outcomes.map((one) => (one.status === 'rejected' ? (one.reason as unknown) : undefined));
    expect(reasons[0]).toBeInstanceOf(Error);
    expect(reasons[1]).toBe(reasons[0]);
  });

  it('is rejected as unavailable while too much of its project waits, also for other batches', async () => {
    const large = writeObjects(Array.from({ length: 40 }, (_, n) => largeReading(`m${String(n)}`, 1024 * 1024)));
    await expect(writeObjects([reading('a', 1)])).rejects.toMatchObject({ slug: 'unavailable' });
    await expect(writeObjects([reading('a', 1)], 'keep', 'other batch')).rejects.toMatchObject({ slug: 'unavailable' });
    expect(await large).toHaveLength(40);
    expect(await writeObjects([reading('a', 1)])).toEqual(['added']);
  });

  it('shares a statement only up to the size limit of statements, for any number of waiting writes', async () => {
    const lengths: number[] = [];
    class CountingStore extends FeedWriteStore {
      override add(...given: Parameters<FeedWriteStore['add']>): Promise<void> {
        lengths.push(given[2].reduce((sum, { data }) => sum + data.length, 0));
        return super.add(...given);
      }
    }
    const counting = writerOf(db, new CountingStore(db.database));
    const all = Array.from({ length: 10 }, (_, n) =>
      writeObjects([largeReading(`h${String(n)}`, 2_000_000)], 'keep', 'heavy', counting),
    );
    expect((await Promise.all(all)).flat()).toEqual(Array.from({ length: 10 }, () => 'added'));
    expect(Math.max(...lengths)).toBeLessThan(4_200_000);
    expect(lengths.length).toBeGreaterThanOrEqual(5);
    expect(await counts()).toEqual([['heavy', 10, 10]]);
  });

  describe('to a project with a limit', () => {
    /** A project with this limit, the statements that insert its objects, and the transactions that lock its batches. */
    async function limited(objectsMax: number): Promise<{ by: FeedWriter; inserts: number[]; locks: () => number }> {
      await db.sql(`UPDATE projects SET objects_max = $2 WHERE project_id = $1`, [project, objectsMax]);
      const config = new Config({});
      await db.database.transaction((tx) => new QuotaStore(db.database, config).apply(tx, project));
      const inserts: number[] = [];
      let locks = 0;
      class CountingStore extends FeedWriteStore {
        override add(...given: Parameters<FeedWriteStore['add']>): Promise<void> {
          inserts.push(given[2].length);
          return super.add(...given);
        }
        override addIn(...given: Parameters<FeedWriteStore['addIn']>): ReturnType<FeedWriteStore['addIn']> {
          inserts.push(given[3].length);
          return super.addIn(...given);
        }
        override lock(...given: Parameters<FeedWriteStore['lock']>): Promise<string[]> {
          locks++;
          return super.lock(...given);
        }
      }
      return { by: writerOf(db, new CountingStore(db.database)), inserts, locks: () => locks };
    }

    const writeAll = (count: number, by: FeedWriter): Promise<PromiseSettledResult<FeedWriteResult[]>[]> =>
      Promise.allSettled(
        Array.from({ length: count }, (_, n) => writeObjects([reading(`r${String(n)}`, n)], 'keep', 'readings', by)),
      );

    it('is not inserted again after another one was rejected, and stores as many of a group as there is room for', async () => {
      const { by, inserts, locks } = await limited(5);
      await expect(
        writeObjects(
          [1, 2, 3, 4, 5, 6].map((n) => reading(`m${String(n)}`, n)),
          'keep',
          'b',
          by,
        ),
      )
        .rejects // the first
        .toMatchObject({ slug: 'quota-exceeded', extra: { quota: 'objects', limit: 5, added: 6 } });
      inserts.length = 0;
      const before = locks();
      const results = await writeAll(500, by);
      const rejected = results.filter((one) => one.status === 'rejected');
      expect(rejected).toHaveLength(495);
      for (const { reason } of rejected) expect(reason).toMatchObject({ extra: { limit: 5, added: 1 } });
      expect(inserts.reduce((sum, count) => sum + count, 0)).toBe(5);
      // One for each half, not one for each write.
      expect(locks() - before).toBeLessThan(50);
      expect(await counts()).toEqual([['readings', 5, 5]]);
    });

    it('is stored where its objects exist, in a group whose others have no room', async () => {
      const { by } = await limited(2);
      await writeAll(2, by);
      const results = await writeAll(20, by);
      expect(results.map((one) => (one.status === 'fulfilled' ? one.value[0] : 'rejected'))).toEqual([
        'kept',
        'kept',
        ...Array.from({ length: 18 }, () => 'rejected'),
      ]);
    });
  });

  it('is reported as added when it was committed but the acknowledgement was lost', async () => {
    let isLost = false;
    class LossyStore extends FeedWriteStore {
      override async add(...given: Parameters<FeedWriteStore['add']>): Promise<void> {
        await super.add(...given);
        if (isLost) return;
        isLost = true;
        throw Object.assign(new Error('the connection broke'), { code: '08006' });
      }
    }
    const lossy = writerOf(db, new LossyStore(db.database));
    expect(await writeObjects([reading('a', 1), reading('b', 2)], 'replace', 'readings', lossy)).toEqual([
      'added',
      'added',
    ]);
    expect(await counts()).toEqual([['readings', 2, 2]]);
  });

  it('is stored completely or not at all', async () => {
    const invalid = { ...reading('bad', 1), data: '[{"key":"temperature","value":"\\u0000"}]' };
    await expect(writeObjects([reading('a', 1), invalid])).rejects.toThrow();
    expect(await stored()).toEqual({});
  });

  it('has the same result from several processes concurrently, for any existing objects and any order', async () => {
    const others = [writer, writerOf(db), writerOf(db)];
    const ids = Array.from({ length: 20 }, (_, n) => `x${String(n)}`);
    await Promise.all(
      Array.from({ length: 60 }, (_, n) => {
        const some = ids.filter((_id, i) => (i * 7 + n) % 3 === 0);
        const order = n % 2 === 0 ? some : some.reverse();
        return writeObjects(
          order.map((id) => reading(id, n)),
          n % 5 === 0 ? 'keep' : 'replace',
          `day${String(n % 4)}`,
          others[n % 3],
        );
      }),
    );
    expect(Object.keys(await stored())).toHaveLength(20);
    for (const [, objectCount, found] of await counts()) expect(objectCount).toBe(found);
  });

  it('is recorded for each write of a group that replaced other content, in one chain', async () => {
    await writeObjects([reading('a', 1), reading('b', 1)]);
    const replaced = async (): Promise<unknown[]> =>
      db.sql(`SELECT target_id, details FROM audit_entries WHERE project_id = $1 ORDER BY number`, [project]);
    expect(await replaced()).toEqual([]);
    await Promise.all([
      writeObjects([reading('a', 1)]),
      writeObjects([reading('a', 2), reading('c', 1), reading('c', 2)]),
      writeObjects([reading('b', 1), reading('d', 1)]),
      writeObjects([reading('b', 3), reading('d', 1), reading('c', 9)]),
      writeObjects([reading('d', 1)], 'keep'),
    ]);
    expect(await stored()).toMatchObject({ 'readings/a': '2', 'readings/b': '3', 'readings/c': '9' });
    const rows = await replaced();
    expect(rows).toEqual([
      { target_id: 'a', details: '{}' },
      { target_id: null, details: '{"object_count":2,"object_ids":["b","c"]}' },
    ]);
  });

  it('is compared with the write before it in the group, so that a write of the stored content is recorded only after another one', async () => {
    await writeObjects([reading('a', 1), reading('b', 1), reading('c', 1)]);
    const writes: [string, NewObjectRow[]][] = [
      ['1: same', [reading('a', 1), reading('b', 1)]],
      ['2: replaces a', [reading('b', 1), reading('a', 2)]],
      ['3: same', [reading('a', 2), reading('c', 1)]],
      ['4: restores a', [reading('a', 5), reading('a', 1)]],
      ['5: replaces c', [reading('c', 2)]],
    ];
    const target = { projectId: project, batchId: 'readings', ifExists: 'replace' as const };
    const group = writes.map(([name, objects]) => ({ ...target, actor: { ...COMMAND_LINE, name }, objects }));
    await writer.transaction(group, () => Promise.resolve());
    expect(
      await db.sql(`SELECT actor_name, target_id FROM audit_entries WHERE project_id = $1 ORDER BY number`, [project]),
    ).toEqual([
      { actor_name: '2: replaces a', target_id: 'a' },
      { actor_name: '4: restores a', target_id: 'a' },
      { actor_name: '5: replaces c', target_id: 'c' },
    ]);
  });

  it('commits or rolls back together with the rest of its transaction', async () => {
    const target = { projectId: project, actor: COMMAND_LINE, batchId: 'readings', ifExists: 'replace' as const };
    const write = { ...target, objects: [reading('a', 1)] };
    expect(await writer.transaction([write], (_tx, results) => Promise.resolve(results))).toEqual(['added']);
    const failing = writer.transaction([{ ...write, objects: [reading('b', 2)] }], () =>
      Promise.reject(new Error('no')),
    );
    await expect(failing).rejects.toThrow('no');
    expect(await stored()).toEqual({ 'readings/a': '1' });
  });
});

it('stores at most two batches of a project at a time, and leaves the other connections to others', async () => {
  const batches = ['1', '2', '3', '4', '5'];
  let writes: Promise<FeedWriteResult[]>[] = [];
  await db.database.transactionOnce(async (tx) => {
    await tx.query('LOCK TABLE batches IN ACCESS EXCLUSIVE MODE');
    writes = batches.map((batch) => writeObjects([reading(`in ${batch}`, 1)], 'replace', batch));
    const waiting = async (): Promise<number> =>
      (
        await tx.query(
          // Tables of other databases can have the same OID.
          `SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
            WHERE datname = current_database() AND relation = 'batches'::regclass AND NOT granted`,
        )
      ).length;
    while ((await waiting()) < 2);
    // Each of them has been sent by now: a connection and a statement take less than these round trips.
    for (let i = 0; i < 100; i++) expect(await waiting()).toBe(2);
  });
  expect(await Promise.all(writes)).toEqual(batches.map(() => ['added']));
});

it('stores a batch while two others of its project are written without pause', async () => {
  let isStored = false;
  const writeUntilStored = async (batch: string, client: string): Promise<boolean> => {
    for (let i = 0; i < 100 && !isStored; i++) {
      await writeObjects([reading(`${batch} ${client} ${String(i)}`, i)], 'keep', batch);
    }
    return isStored;
  };
  const batches = ['busy', 'busier'];
  const first = batches.map((batch) => writeUntilStored(batch, 'first'));
  // The second client of each batch writes while the write of the first one is being stored, and so on in turns.
  for (let i = 0; i < 2; i++) await new Promise(setImmediate);
  const second = batches.map((batch) => writeUntilStored(batch, 'second'));
  await writeObjects([reading('third', 1)], 'keep', 'third');
  isStored = true;
  expect(await Promise.all([...first, ...second])).toEqual([true, true, true, true]);
});

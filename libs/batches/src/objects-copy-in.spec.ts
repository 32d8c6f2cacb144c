import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { BatchEntity } from '#store';
import { Config } from '#platform';
import { SegmentStore } from '#inverted-index';
import { QuotaStore } from '#usage';
import type { BatchObject } from './batch-object.js';
import { BatchWriteStore } from './batch-write.store.js';
import { ObjectsCopyIn } from './objects-copy-in.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await cloneDatabase({ entities: [BatchEntity] });
});
afterAll(() => db.close());

function chunk(first: number, count: number): BatchObject[] {
  return Array.from({ length: count }, (_, index) => {
    const position = first + index;
    return { position, objectId: `o-${String(position)}`, subject: null, observedAt: null, data: '[]' };
  });
}

/** Copies two chunks into a batch of a project with this limit, which had room for one of them when the copy began. */
async function copyTwo(projectId: number, limit: number): Promise<number> {
  await db.sql(`INSERT INTO projects (project_id, name, seq, objects_max) VALUES ($1::int, $1::text, $1, $2)`, [
    projectId,
    limit,
  ]);
  const store = new BatchWriteStore(db.database.dataSource.getRepository(BatchEntity), db.database);
  const quotas = new QuotaStore(db.database, new Config({}));
  const segments = new SegmentStore(db.database);
  await db.database.transactionOnce(async (tx) => {
    const target = { projectId, batchId: 'b' };
    await store.create(tx, [projectId, 'b'], db.sequence.next());
    const room = { objects: 10, bytes: Infinity };
    const copy = new ObjectsCopyIn(store, db.sequence, tx, target, quotas, segments, room);
    await copy.write(chunk(0, 10));
    await copy.write(chunk(10, 10));
    await copy.end();
  });
  const [row] = await db.sql<{ n: string }>(`SELECT count(*) AS n FROM objects WHERE project_id = $1`, [projectId]);
  return Number(row?.n);
}

describe('a copy that exceeds the room that its project had', () => {
  it('continues where the project has more room now', async () => {
    expect(await copyTwo(1, 20)).toBe(20);
  });

  it('ends with quota-exceeded where it has not, with what was copied and the next objects as `added`', async () => {
    await expect(copyTwo(2, 19)).rejects.toMatchObject({ slug: 'quota-exceeded', extra: { limit: 19, added: 20 } });
  });
});

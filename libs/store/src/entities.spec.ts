import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Repository } from 'typeorm';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { BatchEntity } from './batch.entity.js';
import { NEW_BATCH_COLUMNS } from './batch-columns.js';
import { NEW_OBJECT_COLUMNS } from './object-columns.js';
import { ObjectEntity } from './object.entity.js';

/** The largest bigint, an odd number beyond 2^53, and numbers that a double cannot represent. */
const SEQ = '9223372036854775807';
const COUNT = '9007199254740993';
const DATA =
  '[{"key": "temperature", "value": 0.1000}, {"key": "n", "value": 12345678901234567890}, {"key": "b", "value": "\\"é\\""}]';

let db: TestDatabase;
let batches: Repository<BatchEntity>;
let objects: Repository<ObjectEntity>;

beforeAll(async () => {
  db = await cloneDatabase({ entities: [BatchEntity, ObjectEntity] });
  batches = db.database.dataSource.getRepository(BatchEntity);
  objects = db.database.dataSource.getRepository(ObjectEntity);
  await db.sql(`INSERT INTO batches (${NEW_BATCH_COLUMNS}) VALUES (1, 'b', $1, $2, $1)`, [SEQ, COUNT]);
  await db.sql(`INSERT INTO objects (${NEW_OBJECT_COLUMNS}) VALUES (1, 'b', 'o', $1, NULL, now(), $2, 5)`, [SEQ, DATA]);
});
afterAll(() => db.close());

describe('a repository of batches', () => {
  it('returns every digit of sequence numbers and counts', async () => {
    expect(await batches.findOneBy({ project_id: 1, batch_id: 'b' })).toEqual({
      project_id: 1,
      batch_id: 'b',
      seq: SEQ,
      object_count: COUNT,
      revision: SEQ,
      digest: null,
      replaced_seq: null,
      rewritten: '0',
    });
  });

  it('does not return the batch of another project', async () => {
    expect(await batches.findOneBy({ project_id: 2, batch_id: 'b' })).toBeNull();
  });
});

describe('a repository of objects', () => {
  it('returns the text of data from PostgreSQL, and no times, which it would truncate to milliseconds', async () => {
    expect(await objects.findOneBy({ project_id: 1, object_id: 'o' })).toEqual({
      project_id: 1,
      batch_id: 'b',
      object_id: 'o',
      seq: SEQ,
      subject: null,
      data: DATA,
    });
  });

  it('finds an object by a sequence number beyond 2^53', async () => {
    expect(await objects.existsBy({ project_id: 1, seq: SEQ })).toBe(true);
    expect(await objects.existsBy({ project_id: 1, seq: '9223372036854775806' })).toBe(false);
  });

  it('never changes data or the time of an object', async () => {
    await objects.update(
      { project_id: 1, object_id: 'o' },
      { data: '[]', observed_at: '2020-01-01T00:00:00Z', subject: 's' },
    );
    const [row] = await db.sql<{ data: string; is_old: boolean; subject: string }>(
      `SELECT data, observed_at < '2021-01-01' AS is_old, subject FROM objects WHERE object_id = 'o'`,
    );
    expect(row).toEqual({ data: DATA, is_old: false, subject: 's' });
  });

  it('cannot insert an object, because its data would be encoded twice', async () => {
    const object = { project_id: 1, batch_id: 'b', object_id: 'p', seq: '1', data: '[]' };
    await expect(objects.insert(object)).rejects.toThrow(/null value in column "observed_at"/);
  });
});

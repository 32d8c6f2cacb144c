import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ReadDatabase } from '#database';
import { IndexReadStore, IndexSearch } from '#inverted-index';
import { filterOf, ObjectIndexStore, WHOLE_VIEW } from '#objects';
import { Config } from '#platform';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { ExportReader } from './export-reader.js';

const FILTER = filterOf({});

let db: TestDatabase;

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

function readerWith(env: Record<string, string>): ExportReader {
  const config = new Config(env);
  const index = new ObjectIndexStore(db.database, new IndexSearch(new IndexReadStore(db.database)), config);
  return new ExportReader(ReadDatabase.ofPrimary(db.database), index, config);
}

it('ends when the client leaves while the snapshot is opened', async () => {
  const client = new AbortController();
  await db.transaction(async (tx) => {
    // A query of the export would wait for this.
    await tx.query('LOCK TABLE objects');
    const source = readerWith({}).open(1, FILTER, { format: 'ndjson', isSafe: false, view: WHOLE_VIEW }, client.signal);
    const failure = expect(source).rejects.toThrow('gone');
    // Past the slot, and before the database can have responded.
    for (let i = 0; i < 20; i++) await Promise.resolve();
    client.abort(new Error('gone'));
    await failure;
    expect(
      await db.sql("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'"),
    ).toEqual([]);
  });
});

it.each(['ndjson', 'csv'] as const)(
  'ends when the database returns nothing for 4 times QUERY_TIMEOUT_MS: %s',
  async (format) => {
    const reader = readerWith({ QUERY_TIMEOUT_MS: '100' });
    const open = (): Promise<unknown> =>
      reader.open(1, FILTER, { format, isSafe: false, view: WHOLE_VIEW }, new AbortController().signal);
    await db.transaction(async (tx) => {
      await tx.query('LOCK TABLE objects');
      // More often than there are slots.
      for (let i = 0; i < 4; i++) {
        await expect(open()).rejects.toMatchObject({ slug: 'unavailable', message: expect.stringContaining('400 ms') });
      }
    });
  },
);

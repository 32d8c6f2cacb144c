import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ReadDatabase } from '#database';
import { EncryptedKeys } from '#encryption';
import { IndexReadStore, IndexSearch } from '#inverted-index';
import { filterOf, ObjectIndexStore, type ObjectSort, WHOLE_VIEW } from '#objects';
import { Config } from '#platform';
import { Telemetry } from '#telemetry';
import { cloneDatabase, openDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { setParameter } from '../../../test/harness/tables.js';
import { ExportReader } from './export-reader.js';
import type { ExportSource } from './export-source.js';

const FILTER = filterOf({}, null);

let db: TestDatabase;

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

function readerWith(env: Record<string, string>, database = db.database): ExportReader {
  const config = new Config(env);
  const index = new ObjectIndexStore(database, new IndexSearch(new IndexReadStore(database)), config);
  return new ExportReader(
    ReadDatabase.ofPrimary(database),
    index,
    new EncryptedKeys(database, Telemetry.off(), config),
    config,
  );
}

it('ends when the client leaves while the snapshot is opened', async () => {
  const client = new AbortController();
  await db.transaction(async (tx) => {
    // A query of the export would wait for this.
    await tx.query('LOCK TABLE objects');
    const source = readerWith({}).open(
      1,
      FILTER,
      { format: 'ndjson', isSafe: false, view: WHOLE_VIEW, sort: null },
      client.signal,
    );
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
      reader.open(1, FILTER, { format, isSafe: false, view: WHOLE_VIEW, sort: null }, new AbortController().signal);
    await db.transaction(async (tx) => {
      await tx.query('LOCK TABLE objects');
      // More often than there are slots.
      for (let i = 0; i < 4; i++) {
        await expect(open()).rejects.toMatchObject({ slug: 'unavailable', message: expect.stringContaining('400 ms') });
      }
    });
  },
);

it('rejects a sort that exceeds temp_file_limit, before the first byte', async () => {
  await db.sql(`
    INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data, bytes)
    SELECT 1, 'b', 'o' || i, i, now(), '[{"key":"n","value":1}]', 23 FROM generate_series(1, 20000) AS i`);
  await setParameter(db.address, 'work_mem', '64kB');
  await setParameter(db.address, 'temp_file_limit', '256kB');
  // The connections that are open keep their settings.
  const limited = await openDatabase(db.address);
  try {
    const open = (sort: ObjectSort | null): Promise<ExportSource> => {
      const layout = { format: 'ndjson', isSafe: false, view: WHOLE_VIEW, sort } as const;
      return readerWith({}, limited).open(1, FILTER, layout, new AbortController().signal);
    };
    // A problem with status 507.
    await expect(open({ kind: 'data', key: 'n', isAscending: true })).rejects.toMatchObject({ code: '53400' });
    await (await open(null)).close();
  } finally {
    await limited.close();
  }
});

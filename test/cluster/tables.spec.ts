import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { listDataTables, LOCAL_TABLES } from '#database';
import { cloneDatabase, type TestDatabase } from '../harness/database.js';

let db: TestDatabase;
let tables: string[];
beforeAll(async () => {
  db = await cloneDatabase();
  tables = await listDataTables(db.database);
});
afterAll(() => db.close());

const lines = async (sql: string): Promise<string[]> =>
  (await db.sql<{ line: string }>(sql, [tables])).map(({ line }) => line);

describe('the tables of data', () => {
  it('are all tables with a project, except those that stay on the coordinator', async () => {
    const withProject = await db.sql<{ name: string }>(
      `SELECT table_name AS name FROM information_schema.columns WHERE column_name = 'project_id' AND table_schema = 'public'`,
    );
    expect([...tables, ...LOCAL_TABLES].sort()).toEqual(withProject.map(({ name }) => name).sort());
  });

  it('have no key and no unique index without the project', async () => {
    expect(
      await lines(`
        SELECT indexrelid::regclass::text AS line FROM pg_index WHERE indisunique AND indrelid::regclass::text = ANY ($1)
          AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = indexrelid AND attname = 'project_id')`),
    ).toEqual([]);
  });

  it('have no trigger, and no reference but the one to projects that a cluster gives up', async () => {
    expect(
      await lines(
        `SELECT tgname AS line FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text = ANY ($1)`,
      ),
    ).toEqual([]);
    expect(
      await lines(
        `SELECT conname AS line FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text = ANY ($1)`,
      ),
    ).toEqual(['project_usage_project_fkey']);
  });

  it('have no column that a sequence fills, and the only sequence of data is drawn by a statement of its own', async () => {
    expect(
      await lines(`
        SELECT adrelid::regclass::text AS line FROM pg_attrdef
        WHERE adrelid::regclass::text = ANY ($1) AND pg_get_expr(adbin, adrelid) LIKE '%nextval%'`),
    ).toEqual([]);
    const sequences = await db.sql(
      `SELECT sequencename AS name FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1`,
    );
    expect(sequences).toEqual([{ name: 'index_segment_numbers' }, { name: 'migrations_id_seq' }]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../test/harness/database.js';
import { MIGRATIONS } from './index.js';

/** Every object that a migration creates, by name and definition, without TypeORM's own table. */
const CATALOG = `
  SELECT format('column %s.%s %s%s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
      CASE WHEN a.attnotnull THEN ' not null' ELSE '' END, coll.collname) AS line
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind = 'r'
    LEFT JOIN pg_collation AS coll ON coll.oid = a.attcollation
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'migrations'
  UNION ALL
  SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'migrations'
  UNION ALL
  SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('migrations')::oid, 0)
  UNION ALL
  SELECT format('sequence %s %s..%s from %s %s', sequencename, min_value, max_value, start_value, cycle) FROM pg_sequences
    WHERE schemaname = 'public' AND sequencename <> 'migrations_id_seq'
  UNION ALL
  SELECT format('function %s', p.oid::regprocedure) FROM pg_proc AS p
    WHERE p.pronamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
  UNION ALL
  SELECT format('trigger %s', tgname) FROM pg_trigger WHERE NOT tgisinternal
  ORDER BY line`;

/** A database without migrations. The first migration creates TypeORM's own table. */
let empty: TestDatabase;
/** A database with all migrations. */
let migrated: TestDatabase;

beforeAll(async () => {
  empty = await cloneDatabase({ template: 'template0' });
  migrated = await cloneDatabase();
});
afterAll(async () => {
  await empty.close();
  await migrated.close();
});

async function catalogOf(db: TestDatabase): Promise<string[]> {
  return (await db.sql<{ line: string }>(CATALOG)).map((row) => row.line);
}

describe('the migrations', () => {
  it('have the same result when they run up, down and up again', async () => {
    const { dataSource } = empty.database;
    expect(await catalogOf(empty)).toEqual([]);
    await dataSource.runMigrations();
    const first = await catalogOf(empty);
    expect(first).toEqual(await catalogOf(migrated));
    expect(first.length).toBeGreaterThan(20);
    for (const _ of MIGRATIONS) await dataSource.undoLastMigration();
    expect(await catalogOf(empty)).toEqual([]);
    await dataSource.runMigrations();
    expect(await catalogOf(empty)).toEqual(first);
  });

  it('never let a lane repeat a number that is ahead of the database clock', async () => {
    const { dataSource } = empty.database;
    const last = MIGRATIONS.findIndex((migration) => new migration().name.startsWith('SequenceLanes'));
    for (const _ of MIGRATIONS.slice(last)) await dataSource.undoLastMigration();
    const ahead = (2n ** 52n + 5n) * 1024n + 7n;
    await empty.sql(`INSERT INTO projects (project_id, seq, name) VALUES (1, 1, 'p')`);
    await empty.sql(
      `INSERT INTO batches (project_id, batch_id, seq, object_count, revision) SELECT project_id, 'b', $1, 0, 1 FROM projects`,
      [ahead.toString()],
    );
    await dataSource.runMigrations();
    expect(await empty.sql('SELECT DISTINCT last_tick FROM sequence_lanes')).toEqual([
      { last_tick: (2n ** 52n + 5n).toString() },
    ]);
  });

  it('count the objects that are stored already in the usage of their projects', async () => {
    const { dataSource } = empty.database;
    const usage = MIGRATIONS.findIndex((migration) => new migration().name.startsWith('Usage'));
    for (const _ of MIGRATIONS.slice(usage)) await dataSource.undoLastMigration();
    await empty.sql(`INSERT INTO projects (project_id, seq, name) VALUES (3, 3, 'three'), (4, 4, 'four')`);
    const object = `INSERT INTO objects (project_id, batch_id, object_id, seq, observed_at, data)`;
    await empty.sql(
      `${object} SELECT 3, 'b', n::text, n, now(), '[{"key": "ü", "value": 1}]' FROM generate_series(1, 3) AS n`,
    );
    await empty.sql(`${object} VALUES (4, 'b', 'o', 1, now(), '[]')`);
    await dataSource.runMigrations();
    expect(await empty.sql('SELECT project_id, objects, bytes FROM project_usage ORDER BY project_id')).toEqual([
      { project_id: 3, objects: '3', bytes: String(3 * Buffer.byteLength('[{"key": "ü", "value": 1}]')) },
      { project_id: 4, objects: '1', bytes: '2' },
    ]);
    // Later rows have the number that is sent.
    await empty.sql(`UPDATE objects SET bytes = 7 WHERE project_id = 4`);
    expect(await empty.sql('SELECT bytes FROM objects WHERE project_id = 4')).toEqual([{ bytes: 7 }]);
  });

  it('have all run, each once, in a database that the product has opened', async () => {
    expect(await migrated.database.dataSource.showMigrations()).toBe(false);
    expect(await migrated.database.dataSource.runMigrations()).toEqual([]);
  });

  it('are listed oldest first, each with a unique name and time', () => {
    const names = MIGRATIONS.map((migration) => new migration().name);
    const times = names.map((name) => Number(/\d{13}$/.exec(name)?.[0]));
    expect(times.every((time) => time > 0)).toBe(true);
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
  });

  it('create no trigger, which would work differently on a cluster', async () => {
    expect((await catalogOf(migrated)).filter((line) => line.startsWith('trigger'))).toEqual([]);
  });

  it('begin every key and index of batches and objects with the project id', async () => {
    const indexes = (await catalogOf(migrated)).filter((line) => /^index .* ON public\.(batches|objects) /.test(line));
    expect(indexes.length).toBeGreaterThan(5);
    for (const index of indexes) expect(index).toMatch(/ USING \w+ \(project_id,/);
  });

  it('compare every id byte for byte', async () => {
    const columns = (await catalogOf(migrated)).filter((line) =>
      /^column \w+\.(batch_id|object_id|subject|device_id) /.test(line),
    );
    expect(columns.length).toBeGreaterThan(4);
    for (const column of columns) expect(column).toMatch(/ C$/);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Stowage } from '../cli/stowage.js';
import { countLockWaits, createDatabase, dropDatabase, Tables, urlOf } from '../harness/tables.js';
import { waitFor } from '../jobs/jobs.js';
import { createCitusDatabase } from './citus.js';

let db: Tables;
let stowage: Stowage;
beforeAll(async () => {
  db = await createCitusDatabase();
  stowage = await Stowage.create({
    DATABASE_URL: urlOf(db.address),
    STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
  });
});
afterAll(async () => {
  await stowage.remove();
  await db.close();
  await dropDatabase(db.address);
});

const distributed = (): Promise<{ name: string; partkey: string; colocated_with: string }[]> =>
  db.sql(`SELECT logicalrelid::text AS name, partkey, colocated_with FROM pg_dist_partition`);
const calls = async (): Promise<string[]> =>
  (await db.sql<{ call: string }>('SELECT call FROM citus_calls')).map(({ call }) => call);

describe('stowage migrate --citus', () => {
  it('prints its statements with --plan, and runs none of them', async () => {
    const { code, stdout } = await stowage.run(['migrate', '--citus', '--plan']);
    expect(code).toBe(0);
    expect(stdout).toContain(`SELECT create_distributed_table('batches', 'project_id')\n`);
    expect(stdout).toContain(`SELECT create_distributed_table('objects', 'project_id', colocate_with => 'batches')\n`);
    expect(stdout).not.toContain('pending migrations');
    expect(await distributed()).toEqual([]);
  });

  it('says with --plan that tables which pending migrations create are distributed too', async () => {
    const [newest] = await db.sql<{ name: string; timestamp: string }>(
      'DELETE FROM migrations WHERE id = (SELECT max(id) FROM migrations) RETURNING name, timestamp',
    );
    const { code, stdout } = await stowage.run(['migrate', '--citus', '--plan']);
    await db.sql('INSERT INTO migrations (name, timestamp) VALUES ($1, $2)', [newest?.name, newest?.timestamp]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\)\nand the same for the tables of data that the pending migrations create\n$/);
  });

  it('does not distribute them for the first time while a server or worker uses the database', async () => {
    const lease = (time: string): Promise<unknown> =>
      db.sql(`UPDATE sequence_lanes SET leased_until = ${time} WHERE lane = 1`);
    await lease(`clock_timestamp() + interval '1 minute'`);
    const { code, stderr } = await stowage.run(['migrate', '--citus']);
    await lease('clock_timestamp()');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^stowage: a server or worker uses the database: stop it first\. .*\n$/) as unknown,
    });
    expect(await distributed()).toEqual([]);
  });

  it('keeps servers and workers from starting while the rows move for the first time: none can lease a lane', async () => {
    const other = await createCitusDatabase();
    const lock = 'LOCK TABLE sequence_lanes IN ROW EXCLUSIVE MODE NOWAIT';
    const moved = await other.transaction(async (tx) => {
      // As long as the rows move.
      await tx.query('LOCK TABLE pg_dist_partition IN EXCLUSIVE MODE');
      const running = stowage.run(['migrate', '--citus'], { DATABASE_URL: urlOf(other.address) });
      await waitFor(async () => (await countLockWaits(other)) > 0 || undefined);
      await expect(other.transaction(({ query }) => query(lock))).rejects.toThrow('could not obtain lock');
      return { running };
    });
    expect(await moved.running).toMatchObject({ code: 0 });
    await other.transaction(({ query }) => query(lock));
    await other.close();
    await dropDatabase(other.address);
  });

  it('distributes batches by project, all other tables of data like it, and no table of the coordinator', async () => {
    const { code, stderr } = await stowage.run(['migrate', '--citus']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [first, ...others] = await distributed();
    expect(first).toEqual({ name: 'batches', partkey: 'project_id', colocated_with: 'default' });
    for (const { partkey, colocated_with } of others)
      expect({ partkey, colocated_with }).toEqual({ partkey: 'project_id', colocated_with: 'batches' });
    const names = others.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        ...['objects', 'index_segments', 'index_blocks', 'index_pending', 'index_outdated', 'rollups', 'rollup_marks'],
        ...['jobs', 'job_parts', 'idempotency_keys', 'audit_entries', 'audit_chains', 'project_usage'],
      ]),
    );
    expect(new Set(names).size).toBe(names.length);
    for (const local of ['projects', 'api_keys', 'devices', 'job_workers', 'sequence_lanes'])
      expect(names).not.toContain(local);
  });

  it('removes the rows that remain on the coordinator only after a table is distributed', async () => {
    expect(await calls()).toEqual(expect.arrayContaining(['truncate batches', 'truncate objects']));
  });

  it('sets time zone and lock timeout on the database, also on the workers', async () => {
    const { database } = db.address;
    const [row] = await db.sql<{ setconfig: string[] }>(
      `SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = $1)`,
      [database],
    );
    expect(row?.setconfig.map((one) => one.toLowerCase()).sort()).toEqual(['lock_timeout=10s', 'timezone=utc']);
    expect(await calls()).toContain(`workers ALTER DATABASE "${database}" SET timezone = 'UTC'`);
  });

  it('leaves no reference from a table of data to one of the coordinator', async () => {
    expect(
      await db.sql(`
        SELECT conname FROM pg_constraint AS c JOIN pg_dist_partition AS p ON p.logicalrelid = c.conrelid WHERE contype = 'f'`),
    ).toEqual([]);
  });

  it('distributes what a later migration has added when it runs again, and nothing twice, also while servers run', async () => {
    await db.sql(`UPDATE sequence_lanes SET leased_until = clock_timestamp() + interval '1 minute' WHERE lane = 1`);
    await db.sql('CREATE TABLE added_later (project_id integer NOT NULL, n bigint, PRIMARY KEY (project_id, n))');
    const before = await distributed();
    const { code, stdout } = await stowage.run(['migrate', '--citus']);
    expect(code).toBe(0);
    expect(stdout.match(/create_distributed_table/g)).toHaveLength(1);
    const added = { name: 'added_later', partkey: 'project_id', colocated_with: 'batches' };
    expect(await distributed()).toEqual([...before, added]);
  });

  it('removes the rows on the coordinator that a run left which ended after it had distributed their table', async () => {
    await db.sql('INSERT INTO added_later VALUES (1, 1)');
    const { code, stdout } = await stowage.run(['migrate', '--citus']);
    expect(code).toBe(0);
    expect(stdout).toContain(`SELECT truncate_local_data_after_distributing_table('added_later')\n`);
    expect(stdout).not.toContain('create_distributed_table');
  });

  it('is required before a server starts that finds a table of data that is not distributed', async () => {
    await db.sql('CREATE TABLE added_again (project_id integer NOT NULL, n bigint, PRIMARY KEY (project_id, n))');
    const { code, stderr } = await stowage.start(['serve']).ended;
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'stowage: the table added_again is not distributed; run "stowage migrate --citus" first\n',
    });
  });

  it('says what is missing in a database without Citus', async () => {
    const plain = new Tables(await createDatabase());
    const { code, stderr } = await stowage.run(['migrate', '--citus'], { DATABASE_URL: urlOf(plain.address) });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr:
        'stowage: the database has no Citus; run CREATE EXTENSION citus in it on the coordinator, and add the workers, first\n',
    });
    await plain.close();
    await dropDatabase(plain.address);
  });
});

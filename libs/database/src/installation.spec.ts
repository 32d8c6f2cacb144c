import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { createCitusDatabase } from '../../../test/cluster/citus.js';
import { dropDatabase, urlOf } from '../../../test/harness/tables.js';
import { listDataTables } from './distribution.js';
import { openInstallation } from './installation.js';
import { SequenceUnavailableError } from './sequence.js';
import { Config } from '#platform';

const QUIET = { log: () => undefined, warn: () => undefined, error: () => undefined };
const LANES = `SELECT * FROM sequence_lanes ORDER BY lane`;

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

async function withInstallation(leasesLane: boolean, work: () => Promise<void>): Promise<void> {
  const config = new Config({ DATABASE_URL: urlOf(db.address), STOWAGE_KEY_SECRET: 'x'.repeat(32) });
  const options = { config, entities: [], logger: QUIET, leasesLane, createsDatabase: false, say: () => undefined };
  const installation = await openInstallation(options);
  try {
    if (leasesLane) expect(installation.sequence.next()).toBeGreaterThan(0n);
    else expect(() => installation.sequence.next()).toThrow(SequenceUnavailableError);
    await work();
  } finally {
    await installation.close();
  }
}

it('leases one lane while it is open', async () => {
  await withInstallation(true, async () => {
    expect(await db.sql(`SELECT FROM sequence_lanes WHERE holder IS NOT NULL`)).toHaveLength(1);
  });
  expect(await db.sql(`SELECT FROM sequence_lanes WHERE holder IS NOT NULL`)).toHaveLength(0);
});

it('changes no lane if it needs no sequence numbers', async () => {
  const before = await db.sql(LANES);
  await withInstallation(false, () => Promise.resolve());
  expect(await db.sql(LANES)).toEqual(before);
});

it('knows whether the tables are distributed, also where that ends while it starts', async () => {
  const cluster = await createCitusDatabase();
  try {
    const names = await listDataTables({ query: cluster.sql });
    // The last moment: a process that has a lane keeps the tables from being distributed.
    await cluster.sql(`
      CREATE FUNCTION distribute() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM create_distributed_table(name::regclass, 'project_id') FROM unnest('{${names.join()}}'::text[]) AS name;
        RETURN NEW;
      END $$`);
    await cluster.sql(`
      CREATE TRIGGER distribute BEFORE UPDATE ON sequence_lanes FOR EACH ROW
      WHEN (OLD.holder IS NULL AND NEW.holder IS NOT NULL) EXECUTE FUNCTION distribute()`);
    const config = new Config({ DATABASE_URL: urlOf(cluster.address), STOWAGE_KEY_SECRET: 'x'.repeat(32) });
    const options = { config, entities: [], logger: QUIET, leasesLane: true, createsDatabase: false };
    const installation = await openInstallation({ ...options, say: () => undefined });
    const { isDistributed } = installation.database;
    await installation.close();
    expect(isDistributed).toBe(true);
  } finally {
    await cluster.close();
    await dropDatabase(cluster.address);
  }
});

it('rejects an invalid URL of the database or its replica before it connects, and names the setting', async () => {
  const urls = { DATABASE_URL: 'postgres://u:p@127.0.0.1:1/d', DATABASE_READ_URL: 'postgres://u:p@127.0.0.1:1/d' };
  for (const name of ['DATABASE_URL', 'DATABASE_READ_URL'] as const) {
    const config = new Config({ ...urls, [name]: `${urls[name]}?sslmode=full`, STOWAGE_KEY_SECRET: 'x'.repeat(32) });
    const options = { config, entities: [], logger: QUIET, leasesLane: true, createsDatabase: false };
    await expect(openInstallation({ ...options, usesReplica: true, say: () => undefined })).rejects.toThrow(
      `sslmode of ${name} must be disable, no-verify or verify-full, not "full"`,
    );
  }
});

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
// The compiled product: Jest does not transform the imports of its global setup.
import { openInstallation, startEmbeddedPostgres } from '#database';
import { Config } from '#platform';

const TEMPLATE = 'stowage_template';

/** No data outlives the run. Some tests cause deadlocks, which PostgreSQL detects after one second by default. */
const SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', deadlock_timeout: '100ms' };

const QUIET = { log() {}, warn() {}, error() {} };

/**
 * Starts PostgreSQL in the folder, with a migrated template database and a clone of it for the shared server. The product
 * connects as the role of the embedded database, which is no superuser; only the tests create and drop databases.
 *
 * @returns the server, and the address of its superuser
 */
export async function startPostgres(folder, sharedDatabase) {
  const dataDir = join(folder, 'postgres');
  const postgres = await startEmbeddedPostgres({ dataDir, say: () => undefined, settings: SETTINGS });
  const superuser = {
    ...postgres.address,
    user: 'postgres',
    password: /:postgres:(.+)/.exec(await readFile(`${dataDir}.pgpass`, 'utf8'))[1],
    database: 'postgres',
  };
  const owner = postgres.address.user;
  const admin = new pg.Client({ ...superuser, ssl: false });
  await admin.connect();
  try {
    await admin.query(`CREATE DATABASE ${TEMPLATE} OWNER ${owner}`);
    const url = urlOf({ ...postgres.address, database: TEMPLATE });
    const config = new Config({ DATABASE_URL: url, STOWAGE_KEY_SECRET: 'x'.repeat(32) });
    const installation = await openInstallation({
      config,
      entities: [],
      logger: QUIET,
      leasesLane: false,
      say: () => undefined,
    });
    await installation.close();
    await admin.query(`CREATE DATABASE ${sharedDatabase} TEMPLATE ${TEMPLATE} OWNER ${owner}`);
  } finally {
    await admin.end();
  }
  return { postgres, superuser };
}

/** Returns the address as a value of DATABASE_URL. */
export function urlOf({ user, password, host, port, database }) {
  return `postgresql://${user}:${password}@${encodeURIComponent(host)}:${port}/${database}`;
}

/** Returns the connections to a database that are still open, after waiting up to 5 s for them to close. */
export async function connectionsTo(database, superuser) {
  const admin = new pg.Client({ ...superuser, ssl: false });
  await admin.connect();
  try {
    for (let attempt = 0; ; attempt++) {
      const { rows } = await admin.query(
        'SELECT application_name, state, query FROM pg_stat_activity WHERE datname = $1',
        [database],
      );
      if (rows.length === 0 || attempt === 100) return rows;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    await admin.end();
  }
}

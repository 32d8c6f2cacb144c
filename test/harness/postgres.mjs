import { join } from 'node:path';
import pg from 'pg';
// Compiled: Jest does not transform what its global setup imports.
import { openInstallation, startEmbeddedPostgres } from '#database';
import { Config } from '#platform';

const TEMPLATE = 'stowage_template';

/** Nothing here outlives the run; and a deadlock, which tests make on purpose, is otherwise waited for a second. */
const SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', deadlock_timeout: '100ms' };

const QUIET = { log() {}, warn() {}, error() {} };

/** Starts PostgreSQL in the folder, with a template that holds the migrations' result and a database cloned from it. */
export async function startPostgres(folder, sharedDatabase) {
  const postgres = await startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    say: () => undefined,
    settings: SETTINGS,
  });
  const admin = new pg.Client({ ...postgres.address, ssl: false });
  await admin.connect();
  try {
    await admin.query(`CREATE DATABASE ${TEMPLATE}`);
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
    await admin.query(`CREATE DATABASE ${sharedDatabase} TEMPLATE ${TEMPLATE}`);
  } finally {
    await admin.end();
  }
  return postgres;
}

/** The address as a setting: DATABASE_URL. */
export function urlOf({ user, host, port, database }) {
  return `postgresql://${user}@${encodeURIComponent(host)}:${port}/${database}`;
}

/** The connections to a database that are still open, after they had a moment to close. */
export async function connectionsTo(address) {
  const admin = new pg.Client({ ...address, database: 'postgres', ssl: false });
  await admin.connect();
  try {
    for (let attempt = 0; ; attempt++) {
      const { rows } = await admin.query(
        'SELECT application_name, state, query FROM pg_stat_activity WHERE datname = $1',
        [address.database],
      );
      if (rows.length === 0 || attempt === 100) return rows;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    await admin.end();
  }
}

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
// Compiled: Jest does not transform what its global setup imports.
import { openInstallation, startEmbeddedPostgres } from '../../dist/libs/database/src/index.js';
import { Config } from '../../dist/libs/platform/src/index.js';

const TEMPLATE = 'stowage_template';

/** Nothing here outlives the run; and a deadlock, which tests make on purpose, is otherwise waited for a second. */
const SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', deadlock_timeout: '100ms' };

const QUIET = { log() {}, warn() {}, error() {} };

/** Starts PostgreSQL in the folder and migrates a template database that test files clone. */
export async function openTestServer(folder) {
  const postgres = await startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    say: () => undefined,
    settings: SETTINGS,
  });
  const admin = new pg.Client({ ...postgres.address, ssl: false });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${TEMPLATE}`);
  await admin.end();
  const { host, port, user } = postgres.address;
  const url = `postgresql://${user}@${encodeURIComponent(host)}:${port}/${TEMPLATE}`;
  const config = new Config({ DATABASE_URL: url, STOWAGE_KEY_SECRET: 'x'.repeat(32) });
  const installation = await openInstallation({ config, entities: [], logger: QUIET, say: () => undefined });
  await installation.close();
  return {
    address: postgres.address,
    async close() {
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

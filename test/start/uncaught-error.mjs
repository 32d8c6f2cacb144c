/**
 * Loaded into a process of the product with `--import`: on SIGUSR2, and when the process would end, it causes an error of PostgreSQL that
 * nothing catches, whose `detail` and `where` quote a value.
 */
import pg from 'pg';

async function insertTwice() {
  const client = new pg.Client(process.env.DATABASE_URL);
  await client.connect();
  try {
    await client.query(`DO $$ BEGIN
      CREATE TEMP TABLE secrets (value text PRIMARY KEY);
      INSERT INTO secrets VALUES ('a-value-of-the-client'), ('a-value-of-the-client');
    END $$`);
  } finally {
    await client.end();
  }
}

for (const event of ['SIGUSR2', 'beforeExit']) process.once(event, () => void insertTwice());

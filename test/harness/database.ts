import { randomBytes } from 'node:crypto';
import { ACCESS_ENTITIES } from '#access';
import { MIGRATIONS } from '#migrations';
import { Database, Sequence, type PostgresAddress } from '#database';
import pg from 'pg';

const QUIET = { log: () => undefined, warn: () => undefined, error: () => undefined };
let lane = 0;

/** A database of a test file's own, cloned from the migrated template. */
export interface TestDatabase {
  database: Database;
  sequence: Sequence;
  /** For what the product has no business to offer: looking at the tables from the side. */
  sql: <Row extends object>(text: string, values?: unknown[]) => Promise<Row[]>;
  address: PostgresAddress;
  /** Closes it; fails when a connection was leaked. */
  close(): Promise<void>;
}

export async function cloneDatabase(template = 'stowage_template'): Promise<TestDatabase> {
  const server = JSON.parse(process.env.STOWAGE_TEST_SERVER ?? 'null') as PostgresAddress;
  const name = `test_${randomBytes(6).toString('hex')}`;
  await asAdmin(server, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const address = { ...server, database: name };
  const database = await Database.connect({
    at: address,
    poolMax: 20,
    entities: ACCESS_ENTITIES,
    migrations: MIGRATIONS,
    logger: QUIET,
  });
  return {
    database,
    sequence: new Sequence(lane++),
    address,
    sql: (text, values) => database.query(text, values),
    close: async () => {
      await database.close();
      const leaked = await connectionsTo(server, name);
      await asAdmin(server, `DROP DATABASE ${name} WITH (FORCE)`);
      if (leaked > 0) throw new Error(`${String(leaked)} connections to the database were leaked`);
    },
  };
}

async function connectionsTo(server: PostgresAddress, name: string): Promise<number> {
  // A closed connection may take a moment to go from the server's list.
  for (let attempt = 0; ; attempt++) {
    const [row] = await asAdmin<{ count: string }>(
      server,
      `SELECT count(*) FROM pg_stat_activity WHERE datname = '${name}'`,
    );
    const count = Number(row?.count);
    if (count === 0 || attempt === 100) return count;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function asAdmin<Row extends object>(server: PostgresAddress, text: string): Promise<Row[]> {
  const client = new pg.Client({ ...server, ssl: false });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

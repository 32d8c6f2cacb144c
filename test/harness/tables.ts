import { randomBytes } from 'node:crypto';
import type { PostgresAddress } from '#database';
import pg, { type CustomTypesConfig } from 'pg';
import { RUN } from './run.js';

/** Type OIDs of PostgreSQL, which never change. */
const TIMESTAMPTZ = 1184;
const JSONB = 3802;

/** Parses types like the product: jsonb as text, times as RFC 3339. */
const TEXT_TYPES: CustomTypesConfig = {
  getTypeParser: ((type: TypeId, format?: 'text' | 'binary') => {
    const oid: number = type;
    if (oid === TIMESTAMPTZ) return (text: string) => text.replace(' ', 'T').replace(/\+00$/, 'Z');
    if (oid === JSONB) return (text: string) => text;
    return pg.types.getTypeParser(type, format ?? 'text') as (text: string) => unknown;
  }) as CustomTypesConfig['getTypeParser'],
};

type TypeId = Parameters<typeof pg.types.getTypeParser>[0];

type Query = <Row extends object>(text: string, values?: unknown[]) => Promise<Row[]>;

/** Direct access to the tables of a server. */
export interface TestTables {
  readonly address: PostgresAddress;
  readonly sql: Query;
  /** Runs the work between BEGIN and COMMIT, on a separate connection. */
  transaction<T>(work: (tx: { query: Query }) => Promise<T>): Promise<T>;
}

/** Does not import the product. */
export class Tables implements TestTables {
  private readonly pool: pg.Pool;

  constructor(readonly address: PostgresAddress) {
    this.pool = new pg.Pool({
      ...address,
      ssl: false,
      max: 5,
      application_name: 'stowage tests',
      options: '-c timezone=UTC -c datestyle=ISO',
      types: TEXT_TYPES,
    });
    // Specs that close the database break idle connections, which the pool replaces.
    this.pool.on('error', () => undefined);
  }

  readonly sql: Query = async <Row extends object>(text: string, values?: unknown[]) =>
    (await this.pool.query<Row>(text, values)).rows;

  async transaction<T>(work: (tx: { query: Query }) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      const result = await work({
        query: async <Row extends object>(text: string, values?: unknown[]) =>
          (await client.query<Row>(text, values)).rows,
      });
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }

  async close(): Promise<void> {
    await this.pool.end();
  }
}

/** The statements of this database that wait for a lock, except those of other tests. */
export async function countLockWaits({ sql }: Pick<TestTables, 'sql'>): Promise<number> {
  const rows = await sql(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows.length;
}

/**
 * Creates a database from the template, by copying its files: the other strategy writes the whole template to the WAL, which takes
 * three times the processor time.
 *
 * @returns its address
 */
export async function createDatabase(template = 'stowage_template'): Promise<PostgresAddress> {
  const database = `test_${randomBytes(6).toString('hex')}`;
  await asSuperuser(`CREATE DATABASE ${database} TEMPLATE ${template} STRATEGY file_copy OWNER ${RUN.postgres.user}`);
  return { ...RUN.postgres, database };
}

/** Drops a database. @throws Error when connections to it were leaked */
export async function dropDatabase({ database }: PostgresAddress): Promise<void> {
  const leaked = await connectionsTo(database);
  await asSuperuser(`DROP DATABASE ${database} WITH (FORCE)`);
  if (leaked > 0) throw new Error(`${String(leaked)} connections to the database were leaked`);
}

/** Allows connections to a database, or rejects new ones and terminates those that are open. */
export async function allowConnections({ database }: PostgresAddress, isAllowed: boolean): Promise<void> {
  await asSuperuser(`ALTER DATABASE ${database} ALLOW_CONNECTIONS ${String(isAllowed)}`);
  if (!isAllowed) {
    await asSuperuser(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`);
  }
}

/** Sets a parameter of PostgreSQL for new connections to a database. */
export async function setParameter({ database }: PostgresAddress, name: string, value: string): Promise<void> {
  await asSuperuser(`ALTER DATABASE ${database} SET ${name} = '${value}'`);
}

/** Returns the address as a value of DATABASE_URL. */
export function urlOf({ user, password, host, port, database }: PostgresAddress): string {
  return `postgresql://${user}:${password}@${encodeURIComponent(host)}:${String(port)}/${database}`;
}

async function connectionsTo(database: string): Promise<number> {
  // PostgreSQL can list a closed connection for a moment.
  for (let attempt = 0; ; attempt++) {
    const [row] = await asSuperuser<{ count: string }>(
      `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}'`,
    );
    const count = Number(row?.count);
    if (count === 0 || attempt === 100) return count;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function asSuperuser<Row extends object>(text: string): Promise<Row[]> {
  const client = new pg.Client({ ...RUN.superuser, ssl: false });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

import { MIGRATIONS } from '#migrations';
import { Database, Sequence, type PostgresAddress } from '#database';
import { createDatabase, dropDatabase, type TestTables } from './tables.js';

const QUIET = { log: () => undefined, warn: () => undefined, error: () => undefined };
let lane = 0;

/** A database for one spec file, cloned from the migrated template and opened by the product. */
export interface TestDatabase extends TestTables {
  database: Database;
  sequence: Sequence;
  /** Closes and drops the database. @throws Error when a connection was leaked */
  close(): Promise<void>;
}

/** Creates a sequence that needs no lease. */
export function sequenceOfLane(lane: number, now: () => number = Date.now): Sequence {
  const sequence = new Sequence({ now, monotonicNow: () => 0 });
  sequence.use({ lane, afterTick: 0, untilTick: Number.MAX_SAFE_INTEGER, endsAtMs: Infinity });
  return sequence;
}

interface CloneOptions {
  /** Default: the template with all migrations. */
  template?: string;
  /** The entities whose repositories the spec uses. Default: none, because loading all of them loads most of the product. */
  entities?: (new () => object)[];
}

/** Opens a database for the product's stores. The spec closes it before it drops the database. */
export function openDatabase(at: PostgresAddress, entities: CloneOptions['entities'] = []): Promise<Database> {
  return Database.connect({ at, poolMax: 20, entities, migrations: MIGRATIONS, logger: QUIET });
}

export async function cloneDatabase({ template, entities }: CloneOptions = {}): Promise<TestDatabase> {
  const address = await createDatabase(template);
  const database = await openDatabase(address, entities);
  return {
    database,
    sequence: sequenceOfLane(lane++),
    address,
    sql: (text, values) => database.query(text, values),
    transaction: (work) => database.transactionOnce(work),
    close: async () => {
      await database.close();
      await dropDatabase(address);
    },
  };
}

import { Pool, type ClientBase, type QueryConfig, type QueryResult } from 'pg';
import type { Statement } from './queryable.js';
import type { ObservedStatement, StatementObserver } from './statement-observer.js';

/** Runs a statement on a connection, or on one of a pool, observed. */
export async function run<Row extends object>(
  on: Pool | ClientBase,
  statement: Statement | string,
  values: readonly unknown[],
  observer: StatementObserver | null = null,
): Promise<Row[]> {
  const config = queryConfig(statement, values);
  if (observer === null) return (await on.query<Row>(config)).rows;
  const observed = observer.begin(statement, values);
  try {
    const { rows } = await (on instanceof Pool
      ? queryOver<Row>(on, config, observed)
      : send<Row>(on, config, observed));
    observed.end();
    return rows;
  } catch (error) {
    observed.end(error);
    throw error;
  }
}

/** Like `pool.query`, which does not tell when it has a connection. */
async function queryOver<Row extends object>(
  pool: Pool,
  config: QueryConfig,
  observed: ObservedStatement,
): Promise<QueryResult<Row>> {
  const client = await pool.connect();
  let isBroken = true;
  try {
    const result = await send<Row>(client, config, observed);
    isBroken = false;
    return result;
  } finally {
    client.release(isBroken);
  }
}

function send<Row extends object>(
  client: ClientBase,
  config: QueryConfig,
  observed: ObservedStatement,
): Promise<QueryResult<Row>> {
  observed.sent();
  return client.query<Row>(config);
}

/** The statement in the form that `pg` takes. */
export function queryConfig(statement: Statement | string, values: readonly unknown[]): QueryConfig {
  const config: QueryConfig = typeof statement === 'string' ? { text: statement } : { ...statement };
  config.values = values as unknown[];
  return config;
}

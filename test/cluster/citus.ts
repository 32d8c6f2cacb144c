import { createDatabase, Tables } from '../harness/tables.js';

/**
 * The functions and the catalog of Citus that Stowage uses, in a database of PostgreSQL: they record their calls. The tables stay where
 * they are.
 */
const FAKE = `
  CREATE TABLE IF NOT EXISTS pg_dist_partition (logicalrelid regclass, partmethod "char", partkey text, colocated_with text);
  CREATE TABLE IF NOT EXISTS citus_calls (call text);
  CREATE FUNCTION create_distributed_table(name regclass, key text, colocate_with text DEFAULT 'default') RETURNS void
    LANGUAGE sql AS $$ INSERT INTO pg_dist_partition VALUES ($1, 'h', $2, $3) $$;
  CREATE FUNCTION truncate_local_data_after_distributing_table(name regclass) RETURNS void
    LANGUAGE sql AS $$ INSERT INTO citus_calls VALUES ('truncate ' || $1::text) $$;
  CREATE FUNCTION run_command_on_workers(command text) RETURNS void
    LANGUAGE sql AS $$ INSERT INTO citus_calls VALUES ('workers ' || $1) $$;
  CREATE FUNCTION run_command_on_shards(name regclass, command text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE result text;
    BEGIN
      -- The table is its only shard.
      EXECUTE format(command, name) INTO result;
      INSERT INTO citus_calls VALUES ('shards ' || name::text);
      RETURN result;
    END $$`;

/** A database with the tables of the product and the fake. */
export async function createCitusDatabase(): Promise<Tables> {
  const tables = new Tables(await createDatabase());
  await tables.sql(FAKE);
  return tables;
}

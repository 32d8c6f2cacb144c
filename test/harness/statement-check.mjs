/** Checks that each statement that the test servers sent runs on a cluster, on the shard of one project. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { listDataTables } from '#database';
import { STATEMENTS_FILE } from './statement-tap.mjs';
import { violationsOf } from './statement-rules.mjs';

const SHOWN = 20;

/**
 * Statements that are not of one project, or that a cluster replaces by another one. Each with its reason.
 */
const EXCEPTIONS = [];

/** @param database the address of a database with the tables @returns a sentence for each rule that a recorded statement breaks */
export async function findStatementFaults(folder, database) {
  const file = join(folder, STATEMENTS_FILE);
  const texts = existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];
  const client = new pg.Client({ ...database, ssl: false });
  await client.connect();
  try {
    const tables = await listDataTables({ query: async (text, values) => (await client.query(text, values)).rows });
    const { rows } = await client.query(
      `SELECT DISTINCT proname FROM pg_proc WHERE provolatile <> 'i' AND pronamespace = 'pg_catalog'::regnamespace`,
    );
    const volatileFunctions = new Set(rows.map(({ proname }) => proname));
    const faults = [];
    for (const text of texts) {
      if (EXCEPTIONS.some(({ pattern }) => pattern.test(text))) continue;
      const violations = await violationsOf(text, new Set(tables), volatileFunctions);
      faults.push(...violations.map((violation) => `${violation}: ${text.replace(/\s+/g, ' ').trim()}`));
    }
    return faults;
  } finally {
    await client.end();
  }
}

/** @throws Error with the first statements that break a rule */
export async function checkStatements(folder, database) {
  const faults = await findStatementFaults(folder, database);
  if (faults.length === 0) return;
  throw new Error(`${faults.length} statements do not run on a cluster:\n${faults.slice(0, SHOWN).join('\n')}`);
}

import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';

/**
 * In the folder of the run: a file for each process of the product, with every text that it sent to PostgreSQL, one on each line, as
 * JSON. A process that is killed while it writes ends only its own file in between.
 */
export const STATEMENTS_FOLDER = 'statements';
/** Different texts that a process records, so that no test can fill the memory. The run fails where one reaches it. */
export const STATEMENTS_MAX = 50_000;

/** Records each text that a connection of this process sends, once. */
export function recordStatements(folder) {
  const file = join(folder, STATEMENTS_FOLDER, randomUUID());
  const texts = new Set();
  const { query } = pg.Client.prototype;
  pg.Client.prototype.query = function (...args) {
    const [statement] = args;
    const text = typeof statement === 'string' ? statement : statement?.text;
    if (typeof text === 'string' && !texts.has(text) && texts.size < STATEMENTS_MAX) {
      texts.add(text);
      appendFileSync(file, `${JSON.stringify(text)}\n`);
    }
    return query.apply(this, args);
  };
}

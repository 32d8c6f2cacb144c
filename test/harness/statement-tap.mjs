import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';

/** In the folder of the run: every text that its servers sent to PostgreSQL, one on each line, as JSON. */
export const STATEMENTS_FILE = 'statements';
/** Different texts that are recorded, so that no test can fill the memory. */
const STATEMENTS_MAX = 20_000;

/** Records each text that a connection of this process sends, once. */
export function recordStatements(folder) {
  const file = join(folder, STATEMENTS_FILE);
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

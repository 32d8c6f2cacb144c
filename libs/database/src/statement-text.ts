import type { Statement } from './queryable.js';

/** The names of prepared statements are digests. */
const DIGEST = /^stowage\./;
const TEXT_LENGTH_MAX = 2_000;

/** The name of a statement, or its first word. */
export function nameOf(statement: Statement | string): string {
  if (typeof statement !== 'string' && statement.name !== undefined && !DIGEST.test(statement.name))
    return statement.name;
  return /\w+/.exec(textOf(statement))?.[0].toUpperCase() ?? 'statement';
}

/** The text in one line, without its end where it is long. Values are parameters, so it has none of the client's. */
export function shortText(statement: Statement | string): string {
  return textOf(statement)
    .slice(0, 2 * TEXT_LENGTH_MAX)
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, TEXT_LENGTH_MAX);
}

function textOf(statement: Statement | string): string {
  return typeof statement === 'string' ? statement : statement.text;
}

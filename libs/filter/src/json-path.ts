import type { Filter, JsonText, ValueFilter, ValueTest } from './filter.js';
import { keyPaths, type KeyPath } from './key-paths.js';

/**
 * The constants of SQL/JSON paths; the language has no others. For an equality PostgreSQL looks a value up in the GIN index, which must
 * not happen for a condition that holds; for a negation it looks nothing up.
 */
const FALSE = '1 == 0';
const TRUE = `!(${FALSE})`;

/**
 * The filter as a predicate of the SQL/JSON path language on `data`, for the operator `@@`; null where it has a condition
 * that the language does not have: on a column, or equality with an array or an object.
 *
 * The predicate is never unknown, because each condition is an `exists`, so that `!` negates it exactly. A path in lax mode
 * searches the elements of an array as well, one level deep, which is what a filter means. Names and values are JSON strings
 * and numbers, which the path language reads alike.
 *
 * Only an `exists` is negated, never a combination: of `!(a && !(b))` PostgreSQL 18 looks only `b` up in the GIN index, and does not
 * find objects without `a`. A test compares all filters with and without the index.
 */
export function jsonPathOf(filter: Filter, isNegated = false): string | null {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return (filter.kind === 'and') === isNegated
        ? joined(filter.of, isNegated, ' || ', FALSE)
        : joined(filter.of, isNegated, ' && ', TRUE);
    case 'not':
      return jsonPathOf(filter.of, !isNegated);
    case 'value': {
      const path = valuePath(filter);
      return path !== null && isNegated ? `!(${path})` : path;
    }
    default:
      return null;
  }
}

/** The values at a path, as an SQL/JSON path. */
function valuesAt({ key, members }: KeyPath): string {
  const pairs = key === null ? '$[*]' : `$[*] ? (${hasKeyPath(key)})`;
  return `${pairs}.value${memberPath(members)}`;
}

/** The values of a key, and the elements of those that are arrays, as SQL/JSON paths; some values are at several of them. */
export function valuePaths(filter: Pick<ValueFilter, 'key' | 'isLiteral'>): string[] {
  return keyPaths(filter).flatMap((path) => [valuesAt(path), `${valuesAt(path)}[*]`]);
}

function hasKeyPath(key: string): string {
  return `@.key == ${JSON.stringify(key)}`;
}

function memberPath(members: readonly string[]): string {
  return members.map((name) => `.${JSON.stringify(name)}`).join('');
}

/** Whether a value is an array or an object. */
export function isNested(value: JsonText): boolean {
  return value.startsWith('[') || value.startsWith('{');
}

function joined(filters: readonly Filter[], isNegated: boolean, operator: string, empty: string): string | null {
  const paths: string[] = [];
  for (const filter of filters) {
    const path = jsonPathOf(filter, isNegated);
    if (path === null) return null;
    paths.push(path);
  }
  return anyOf(paths, operator, empty);
}

function anyOf(paths: readonly string[], operator: string, empty: string): string {
  if (paths.length <= 1) return paths[0] ?? empty;
  return `(${paths.join(operator)})`;
}

/** A pair passes the filter of the path where its key is that of one of the paths, and a value there passes the test. */
function valuePath(filter: ValueFilter): string | null {
  if (!isExpressible(filter.test)) return null;
  const pairs = keyPaths(filter).map(({ key, members }) => {
    const value = `@.value${memberPath(members)}`;
    const parts = [...(key === null ? [] : [hasKeyPath(key)]), testPath(filter.test, value)];
    return parts.length === 1 ? parts[0] : `(${parts.join(' && ')})`;
  });
  return pairs.length === 0 ? FALSE : `exists($[*] ? (${pairs.join(' || ')}))`;
}

/** The language compares scalars only. */
function isExpressible(test: ValueTest): boolean {
  if (test.op === 'eq') return !isNested(test.value);
  return test.op !== 'in' || !test.values.some(isNested);
}

/**
 * The test of the values at a path. It must compare the path itself: a filter on the path would search the elements of an
 * array, and the comparison those of each element again.
 */
function testPath(test: ValueTest, path: string): string {
  switch (test.op) {
    case 'exists':
      return `exists(${path})`;
    case 'eq':
      return `${path} == ${test.value}`;
    case 'in':
      return anyOf(
        test.values.map((value) => `${path} == ${value}`),
        ' || ',
        FALSE,
      );
    case 'gt':
      return `${path} > ${test.value}`;
    case 'gte':
      return `${path} >= ${test.value}`;
    case 'lt':
      return `${path} < ${test.value}`;
    case 'lte':
      return `${path} <= ${test.value}`;
    case 'prefix':
      return `${path} starts with ${JSON.stringify(test.text)}`;
    case 'contains':
      // Every text contains the empty text, which is no regular expression.
      if (test.text === '') return `${path} starts with ""`;
      return `${path} like_regex ${JSON.stringify(test.text)} flag "q"`;
  }
}

import { displayText, isJsonObject, parseJson, toJson, type JsonObject } from '../api/json.js';

export type Operator =
  'eq' | 'ne' | 'gt' | 'gte' | 'lt' | 'lte' | 'in' | 'nin' | 'prefix' | 'contains' | 'exists' | 'missing';

/** The operators with their names, in the order in which they are offered. */
export const OPERATORS: readonly (readonly [Operator, string])[] = [
  ['eq', 'is'],
  ['ne', 'is not'],
  ['gt', '>'],
  ['gte', '≥'],
  ['lt', '<'],
  ['lte', '≤'],
  ['in', 'is one of'],
  ['nin', 'is none of'],
  ['prefix', 'starts with'],
  ['contains', 'contains'],
  ['exists', 'exists'],
  ['missing', 'is missing'],
];

/** One condition on a key. */
interface KeyCondition {
  key: string;
  /** Whether a dot in the key is a part of its name, not a path into an object. */
  isLiteral: boolean;
  operator: Operator;
  /** A JSON value; null for `exists` and `missing`. */
  value: unknown;
}

/** A condition of a filter, all of which must hold: one on a key, or any other one as it is written. */
export type Condition = KeyCondition | { filter: JsonObject };

/**
 * The conditions of the parameter `data`.
 * @throws SyntaxError for a text that is not JSON, or not an object
 */
export function parseConditions(data: string): Condition[] {
  const filter = parseJson(data);
  if (!isJsonObject(filter)) throw new SyntaxError('A filter is a JSON object.');
  return conditionsOf(filter);
}

function conditionsOf(filter: JsonObject): Condition[] {
  return Object.entries(filter).flatMap(([key, value]): Condition[] => {
    if (key === '$and' && Array.isArray(value) && value.every(isJsonObject)) return value.flatMap(conditionsOf);
    if (key === '$pair' && isJsonObject(value) && typeof value['key'] === 'string' && value['value'] !== undefined) {
      return conditionsOn(value['key'], value['value'], true) ?? [{ filter: { [key]: value } }];
    }
    if (key.startsWith('$')) return [{ filter: { [key]: value } }];
    return conditionsOn(key, value, false) ?? [{ filter: { [key]: value } }];
  });
}

/** Null where a condition is more than an operator with a value. */
function conditionsOn(key: string, test: unknown, isLiteral: boolean): KeyCondition[] | null {
  const isOperators = isJsonObject(test) && Object.keys(test).some((name) => name.startsWith('$'));
  if (!isOperators) return [{ key, isLiteral, operator: 'eq', value: test }];
  const conditions: KeyCondition[] = [];
  for (const [name, value] of Object.entries(test)) {
    if (name === '$exists' && typeof value === 'boolean') {
      conditions.push({ key, isLiteral, operator: value ? 'exists' : 'missing', value: null });
      continue;
    }
    const operator = OPERATORS.find(([known]) => `$${known}` === name)?.[0];
    if (operator === undefined || operator === 'exists' || operator === 'missing') return null;
    conditions.push({ key, isLiteral, operator, value });
  }
  return conditions;
}

/** The parameter `data`; null for no conditions. */
export function dataOf(conditions: readonly Condition[]): string | null {
  if (conditions.length === 0) return null;
  const filters = conditions.map(filterOf);
  const names = filters.flatMap((filter) => Object.keys(filter));
  const areDistinct = new Set(names).size === names.length;
  return toJson(
    areDistinct ? Object.fromEntries(filters.flatMap((filter) => Object.entries(filter))) : { $and: filters },
  );
}

/** The condition that at least one of these holds. */
export function anyOf(conditions: readonly Condition[]): Condition {
  return { filter: { $or: conditions.map(filterOf) } };
}

function filterOf(condition: Condition): JsonObject {
  if ('filter' in condition) return condition.filter;
  const { key, operator, value } = condition;
  const test = testOf(operator, value);
  const isLiteral = key.startsWith('$') || (condition.isLiteral && key.includes('.'));
  return isLiteral ? { $pair: { key, value: test } } : { [key]: test };
}

function testOf(operator: Operator, value: unknown): unknown {
  switch (operator) {
    case 'eq':
      // An object with operators would be read as such.
      return isJsonObject(value) ? { $eq: value } : value;
    case 'exists':
      return { $exists: true };
    case 'missing':
      return { $exists: false };
    default:
      return { [`$${operator}`]: value };
  }
}

/** A condition as a person reads it. */
export function describe(condition: Condition): string {
  if ('filter' in condition) return toJson(condition.filter);
  const { key, operator, value } = condition;
  const name = OPERATORS.find(([known]) => known === operator)?.[1] ?? operator;
  if (operator === 'exists' || operator === 'missing') return `${key} ${name}`;
  const values =
    Array.isArray(value) && operator.endsWith('in') ? value.map(displayText).join(', ') : displayText(value);
  return `${key} ${name} ${values}`;
}

export function isSame(left: Condition, right: Condition): boolean {
  return toJson(filterOf(left)) === toJson(filterOf(right));
}

const OPPOSITES: Partial<Record<Operator, Operator>> = {
  eq: 'ne',
  ne: 'eq',
  in: 'nin',
  nin: 'in',
  exists: 'missing',
  missing: 'exists',
};

/** The condition that holds where this one does not; null where no operator has that meaning. */
export function opposite(condition: Condition): Condition | null {
  if ('filter' in condition) return null;
  const operator = OPPOSITES[condition.operator];
  return operator === undefined ? null : { ...condition, operator };
}

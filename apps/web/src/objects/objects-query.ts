import type { Query } from '../api/client.js';
import { typedValue } from '../api/json.js';
import { given } from '../api/parameters.js';
import type { Changes } from '../query.js';
import { anyOf, dataOf, parseConditions, type Condition } from './conditions.js';

/** The parameters of a filter; they have the same names in the URL of the page and of the API. */
export const FILTER_PARAMETERS = [
  'data',
  'match',
  'key',
  'value',
  'batch_id',
  'subject',
  'subject_prefix',
  'observed_from',
  'observed_until',
] as const;
export const OBJECTS_PARAMETERS = [...FILTER_PARAMETERS, 'sort', 'columns', 'object'] as const;

export type FilterName = (typeof FILTER_PARAMETERS)[number];
export type FilterQuery = Readonly<Partial<Record<FilterName, string>>>;
export type Filter = Pick<Query<'listObjects'>, FilterName>;

/** The filter of the query as parameters of the API; the server says what is wrong with it. */
export function filterParameters(query: FilterQuery): Filter {
  return given(Object.fromEntries(FILTER_PARAMETERS.map((name) => [name, query[name]])));
}

/** Null where the filter is not JSON; the server says what is wrong with it. */
export function conditionsOf(data: string | undefined): Condition[] | null {
  if (data === undefined) return [];
  try {
    return parseConditions(data);
  } catch {
    return null;
  }
}

/**
 * The parameters `match`, `key` and `value` of a URL of the API as conditions in `data`, which all requests of the page take. A value
 * without a key stays: `data` has no condition on any key.
 * @returns null where nothing changes
 */
export function filterInData({ data, match, key, value }: FilterQuery): Changes<FilterName> | null {
  let conditions = conditionsOf(data);
  if (conditions === null || (match === undefined && key === undefined)) return null;
  if (match === 'any' && conditions.length > 1) conditions = [anyOf(conditions)];
  if (key === undefined) return { data: dataOf(conditions), match: null };
  const own: Condition =
    value === undefined
      ? { key, isLiteral: false, operator: 'exists', value: null }
      : // A text matches a value with its text, and the number or word that it reads as.
        { key, isLiteral: false, operator: 'in', value: [...new Set([value, typedValue(value)])] };
  return { data: dataOf([...conditions, own]), match: null, key: null, value: null };
}

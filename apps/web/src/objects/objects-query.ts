import type { Parameters } from '../api/api.js';
import { parseConditions, type Condition } from './conditions.js';

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

/** The filter of the query as parameters of the API. */
export function filterParameters(query: FilterQuery): Parameters {
  return Object.fromEntries(
    FILTER_PARAMETERS.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]]])),
  );
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

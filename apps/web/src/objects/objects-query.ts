import { useLocation } from 'preact-iso';
import type { Parameters } from '../api/api.js';

/** The parameters of a filter; they have the same names in the URL of the page and of the API. */
const FILTER_PARAMETERS = [
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
const PARAMETERS = [...FILTER_PARAMETERS, 'sort', 'columns', 'object'] as const;

export type ParameterName = (typeof PARAMETERS)[number];
export type ObjectsQuery = Readonly<Partial<Record<ParameterName, string>>>;

/** What the URL of the page says, and a function that changes it: null removes a parameter. */
export function useObjectsQuery(): [ObjectsQuery, (changes: Partial<Record<ParameterName, string | null>>) => void] {
  const { query, route, path } = useLocation();
  const known = Object.fromEntries(PARAMETERS.flatMap((name) => (query[name] ? [[name, query[name]]] : [])));
  const change = (changes: Partial<Record<ParameterName, string | null>>): void => {
    const next = new URLSearchParams();
    for (const name of PARAMETERS) {
      const value = name in changes ? changes[name] : known[name];
      if (value !== null && value !== undefined && value !== '') next.set(name, value);
    }
    const text = next.toString();
    route(text === '' ? path : `${path}?${text}`);
  };
  return [known, change];
}

/** The filter of the query as parameters of the API. */
export function filterParameters(query: ObjectsQuery): Parameters {
  return Object.fromEntries(
    FILTER_PARAMETERS.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]]])),
  );
}

export function columnsOf(query: ObjectsQuery): string[] | null {
  if (query.columns === undefined) return null;
  try {
    const columns: unknown = JSON.parse(query.columns);
    return Array.isArray(columns) ? columns.filter((column) => typeof column === 'string') : null;
  } catch {
    return null;
  }
}

import type { Query } from '../api/client.js';
import { given } from '../api/parameters.js';
import { filterParameters, FILTER_PARAMETERS, type Filter, type FilterName } from '../objects/objects-query.js';

/** What is computed, with its name. */
export const OPERATIONS = [
  ['count', 'Count'],
  ['sum', 'Sum'],
  ['avg', 'Average'],
  ['min', 'Minimum'],
  ['max', 'Maximum'],
  ['p50', 'Median'],
  ['p95', '95th percentile'],
] as const;

/** The buckets that are offered. */
export const BUCKETS = ['1m', '5m', '15m', '1h', '3h', '6h', '1d', '1w', '1mo', '3mo', '1y'] as const;

type ChartFilterName = Exclude<FilterName, 'key' | 'value'>;

/** The aggregate route has no filter `value`, and its `key` is the one that is computed. */
const CHART_FILTERS = FILTER_PARAMETERS.filter((name): name is ChartFilterName => name !== 'key' && name !== 'value');

/**
 * The parameters of the page. Those that the aggregate route does not have: `second_key` is computed in a second request;
 * `chart` is `lines` or `bars`, `order` is `value` or `group`; `shown` lists the series that are drawn.
 */
export const CHART_PARAMETERS = [
  'op',
  'key',
  'second_key',
  'by',
  'bucket',
  'time_zone',
  'series',
  'chart',
  'order',
  'shown',
  ...CHART_FILTERS,
] as const;

export type ChartParameter = (typeof CHART_PARAMETERS)[number];
export type ChartParameters = Readonly<Partial<Record<ChartParameter, string>>>;

/** What a chart is computed of. */
export interface ChartQuery {
  op: string;
  /** None for the number of objects; two are compared. */
  keys: readonly string[];
  /** `time`, `subject`, `data.<key>`, or null for one number. */
  by: string | null;
  /** Null to choose the bucket by the span of the objects. */
  bucket: string | null;
  timeZone: string;
  series: string | null;
  filter: Filter;
}

export function chartQuery(parameters: ChartParameters): ChartQuery {
  const { key, second_key: secondKey, by = 'time' } = parameters;
  const keys = [key, secondKey].filter((name) => name !== undefined);
  return {
    op: parameters.op ?? 'count',
    keys,
    by: by === 'none' ? null : by,
    bucket: parameters.bucket ?? null,
    timeZone: parameters.time_zone ?? browserTimeZone(),
    series: by === 'none' || keys.length === 2 ? null : (parameters.series ?? null),
    filter: chartFilter(parameters),
  };
}

function chartFilter(parameters: ChartParameters): Filter {
  return filterParameters(Object.fromEntries(CHART_FILTERS.map((name) => [name, parameters[name]])));
}

/** The requests of a chart, one for each key. */
export function aggregateParameters(query: ChartQuery, bucket: string | null): Query<'aggregateObjects'>[] {
  const { keys, by, series, filter, timeZone } = query;
  const time = by === 'time' ? { bucket, time_zone: timeZone } : {};
  // The server says what is wrong with the operation of a URL.
  const op = query.op as Query<'aggregateObjects'>['op'];
  return (keys.length === 0 ? [null] : keys).map((key) => ({ op, ...given({ key, by, ...time, series }), ...filter }));
}

export function browserTimeZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** What a chart shows, in words. */
export function titleOf({ op, keys, by, series }: ChartQuery): string {
  const operation = OPERATIONS.find(([name]) => name === op)?.[1] ?? op;
  const what = keys.length === 0 ? 'objects' : keys.join(' and ');
  const group = by === null ? '' : by === 'time' ? ' over time' : ` by ${groupName(by)}`;
  return `${operation} of ${what}${group}${series === null ? '' : `, for each ${groupName(series)}`}`;
}

/** `room` for `data.room`. */
export function groupName(by: string): string {
  return by.startsWith('data.') ? by.slice('data.'.length) : by;
}

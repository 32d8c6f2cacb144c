import type { Query, Schemas, StowageClient } from '../api/client.js';
import { displayText, toJson } from '../api/json.js';
import { given } from '../api/parameters.js';
import { bucketOf, loadSpan } from '../objects/time-buckets.js';
import { aggregateParameters, titleOf, type ChartQuery } from './chart-query.js';

/** With the exact value, which is no number where JavaScript would lose digits. */
type AggregateResult = Omit<Schemas['AggregateResultDto'], 'value'> & { value: unknown };

export interface ChartSeries {
  /** The value as JSON, or the computed key; unique in a chart. */
  id: string;
  name: string;
  /** The result of each group that has one, by the index of the group. */
  results: ReadonlyMap<number, AggregateResult>;
  /** The number of values behind all its results. */
  count: number;
}

export interface Chart {
  query: ChartQuery;
  /** The bucket of a chart over time. */
  bucket: string | null;
  requests: Query<'aggregateObjects'>[];
  /** Starts of buckets, subjects or values. */
  groups: unknown[];
  /** Of the values of a key, those with the most values first. */
  series: ChartSeries[];
}

/** @throws StowageError */
export async function loadChart(client: StowageClient, query: ChartQuery, signal: AbortSignal): Promise<Chart> {
  const bucket = query.by === 'time' ? (query.bucket ?? (await chooseBucket(client, query, signal))) : null;
  const requests = aggregateParameters(query, bucket);
  const responses = await Promise.all(
    requests.map(async (request) => {
      const { data } = await client.GET('/api/v1/objects/aggregate', { params: { query: request }, signal });
      return data.results;
    }),
  );
  const isByTime = query.by === 'time';
  const groups = distinct(responses.flatMap((results) => results.map(({ group }) => group)));
  if (isByTime) groups.sort((left, right) => Date.parse(left as string) - Date.parse(right as string));
  const indexes = new Map(groups.map((group, index) => [toJson(group), index]));
  const series = responses.flatMap((results, at) =>
    query.series === null
      ? [seriesOf(query.keys[at] ?? 'objects', nameOf(query, at), results, indexes)]
      : bySeries(results)
          .map(([value, own]) => seriesOf(toJson(value), valueName(value), own, indexes))
          .sort((left, right) => right.count - left.count),
  );
  return { query, bucket, requests, groups, series: series.filter(({ results }) => results.size > 0) };
}

/** The bucket that suits the times of the objects that have the key. */
async function chooseBucket(client: StowageClient, query: ChartQuery, signal: AbortSignal): Promise<string> {
  const { keys, series, filter } = query;
  const key = keys[0] ?? (series?.startsWith('data.') ? series.slice('data.'.length) : undefined);
  const span = await loadSpan(client, { ...filter, ...given({ key }) }, signal);
  return span === null ? '1d' : bucketOf(span.untilMs - span.fromMs).bucket;
}

function seriesOf(
  id: string,
  name: string,
  results: readonly AggregateResult[],
  indexes: ReadonlyMap<string, number>,
): ChartSeries {
  const entries = results
    .filter(({ value }) => value !== null)
    .map((result) => [indexes.get(toJson(result.group)) ?? 0, result] as const);
  return { id, name, results: new Map(entries), count: results.reduce((sum, { count }) => sum + count, 0) };
}

function nameOf(query: ChartQuery, at: number): string {
  const key = query.keys[at];
  return query.keys.length > 1 && key !== undefined ? key : titleOf({ ...query, by: null });
}

/** A subject or value as a person reads it. */
export function valueName(value: unknown): string {
  if (value === null) return 'none';
  return value === '' ? '(empty text)' : displayText(value);
}

function bySeries(results: readonly AggregateResult[]): [unknown, AggregateResult[]][] {
  const found = new Map<string, [unknown, AggregateResult[]]>();
  for (const result of results) {
    const value = result.series ?? null;
    const id = toJson(value);
    const known = found.get(id);
    if (known === undefined) found.set(id, [value, [result]]);
    else known[1].push(result);
  }
  return Array.from(found.values());
}

function distinct(values: readonly unknown[]): unknown[] {
  return Array.from(new Map(values.map((value) => [toJson(value), value])).values());
}

import { toJson } from '../api/json.js';
import { bucketLengths } from './bucket-times.js';
import type { ChartSeries } from './load-chart.js';

/** The columns of a chart over time; all have one entry for each start. */
export interface TimeColumns {
  /** The index of the group of each start; null for an empty bucket, which interrupts the lines. */
  groups: (number | null)[];
  /** In seconds. */
  starts: number[];
  ends: number[];
  values: (number | null)[][];
}

/** The values by start, with an empty bucket wherever one or more are missing. */
export function timeColumns(
  groups: readonly unknown[],
  bucket: string,
  shown: readonly Pick<ChartSeries, 'results'>[],
): TimeColumns {
  const { usualMs, maxMs } = bucketLengths(bucket);
  const times = groups.map((group) => Date.parse(group as string));
  const columns: TimeColumns = { groups: [], starts: [], ends: [], values: shown.map(() => []) };
  const add = (group: number | null, startMs: number, endMs: number): void => {
    columns.groups.push(group);
    columns.starts.push(startMs / 1000);
    columns.ends.push(endMs / 1000);
    shown.forEach(({ results }, index) => {
      const value = group === null ? undefined : results.get(group)?.value;
      columns.values[index]?.push(value === undefined || value === null ? null : Number(toJson(value)));
    });
  };
  times.forEach((time, index) => {
    const next = times[index + 1];
    const isFollowed = next !== undefined && next - time <= maxMs;
    const end = isFollowed ? next : time + usualMs;
    add(index, time, end);
    if (next !== undefined && !isFollowed) add(null, end, end);
  });
  return columns;
}

/** Where each bar of a stack begins: at the sum of those before it. */
export function stackBases(values: readonly (readonly (number | null)[])[]): number[][] {
  const sums: number[] = [];
  return values.map((column) =>
    column.map((value, at) => {
      const base = sums[at] ?? 0;
      sums[at] = base + (value ?? 0);
      return base;
    }),
  );
}

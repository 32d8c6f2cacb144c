import type { Schemas } from '../api/client.js';
import { toJson } from '../api/json.js';
import type { ShownSeries } from '../charts/legend.js';
import { browserTimeZone } from '../charts/chart-query.js';
import type { Chart } from '../charts/load-chart.js';

export interface FactoryChart {
  chart: Chart & { bucket: string };
  shown: ShownSeries[];
  /** The sums over all times. */
  actual: number;
  goal: number;
}

const MINUTE_S = 60;

/** Actual and goal of a factory by time; an interval without a report is a gap. Null where it has no times. */
export function factoryChart({ factory }: Schemas['FactoryDto']): FactoryChart | null {
  const { time, sprocket_production_actual: actual, sprocket_production_goal: goal } = factory.chart_data;
  const points = time
    .map((seconds, at) => ({ seconds: Number(toJson(seconds)), actual: actual[at] ?? null, goal: goal[at] ?? null }))
    .sort((left, right) => left.seconds - right.seconds);
  const groups = points.map(({ seconds }) => new Date(seconds * 1000));
  if (groups.length === 0 || groups.some((group) => Number.isNaN(group.valueOf()))) return null;
  const texts = groups.map((group) => group.toISOString());
  const series = (id: string, name: string, colourNumber: number, values: unknown[]): ShownSeries => ({
    id,
    name,
    colourNumber,
    count: values.length,
    results: new Map(values.map((value, at) => [at, { group: texts[at] ?? null, value, count: 1 }])),
  });
  const shown = [
    series(
      'actual',
      'actual',
      1,
      points.map((point) => point.actual),
    ),
    series(
      'goal',
      'goal',
      2,
      points.map((point) => point.goal),
    ),
  ];
  const query = {
    op: 'sum',
    keys: [],
    by: 'time',
    bucket: null,
    timeZone: browserTimeZone(),
    series: null,
    filter: {},
  };
  const bucket = `${String(intervalMinutes(points.map(({ seconds }) => seconds)))}m`;
  return {
    chart: { query, bucket, requests: [], groups: texts, series: shown },
    shown,
    actual: sum(actual),
    goal: sum(goal),
  };
}

/** The shortest time between two reports, at least a minute. */
function intervalMinutes(times: readonly number[]): number {
  const intervals = times.slice(1).map((time, at) => time - (times[at] ?? 0));
  const shortest = Math.min(...intervals.filter((interval) => interval > 0));
  return Number.isFinite(shortest) ? Math.max(1, Math.round(shortest / MINUTE_S)) : 1;
}

function sum(values: readonly unknown[]): number {
  return values.reduce<number>((total, value) => total + Number(toJson(value)), 0);
}

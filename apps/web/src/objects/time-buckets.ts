import type { StowageClient } from '../api/client.js';
import type { Filter } from './objects-query.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Bucket lengths of the aggregate route, and about how long they are. */
const BUCKETS: readonly (readonly [string, number])[] = [
  ['1m', MINUTE_MS],
  ['5m', 5 * MINUTE_MS],
  ['15m', 15 * MINUTE_MS],
  ['1h', HOUR_MS],
  ['3h', 3 * HOUR_MS],
  ['6h', 6 * HOUR_MS],
  ['1d', DAY_MS],
  ['1w', 7 * DAY_MS],
  ['1mo', 30 * DAY_MS],
  ['3mo', 91 * DAY_MS],
  ['1y', 365 * DAY_MS],
];
const BARS_MAX = 120;

/** The shortest bucket that divides a span of time into at most 120 bars, and its length. */
export function bucketOf(spanMs: number): { bucket: string; lengthMs: number } {
  const [bucket, lengthMs] = BUCKETS.find(([, ms]) => spanMs / ms <= BARS_MAX) ?? ['1y', 365 * DAY_MS];
  return { bucket, lengthMs };
}

/** The times of the oldest and the newest object that a filter matches; null where none does. @throws StowageError */
export async function loadSpan(
  client: StowageClient,
  filter: Filter,
  signal: AbortSignal,
): Promise<{ fromMs: number; untilMs: number } | null> {
  const first = async (sort: string): Promise<number> => {
    const query = { ...filter, sort, page_size: 1, count: 'none', fields: 'observed_at' } as const;
    const { data } = await client.GET('/api/v1/objects', { params: { query }, signal });
    return Date.parse(data.results[0]?.observed_at ?? '');
  };
  const [fromMs, untilMs] = await Promise.all([first('observed_at'), first('-observed_at')]);
  return Number.isNaN(fromMs) || Number.isNaN(untilMs) ? null : { fromMs, untilMs };
}

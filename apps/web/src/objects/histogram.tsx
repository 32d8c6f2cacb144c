import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import uPlot from 'uplot';
import type { StowageClient } from '../api/client.js';
import { useLoad } from '../api/use-load.js';
import { useSession } from '../session.js';
import { colour, Plot } from '../ui/plot.js';
import { problemText } from '../ui/states.js';
import type { Filter } from './objects-query.js';
import { bucketOf, loadSpan } from './time-buckets.js';

const HEIGHT = 110;
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact' });

interface Bars {
  starts: number[];
  counts: number[];
  lengthMs: number;
}

interface Props {
  /** Null for no bars. */
  filter: Filter | null;
  onSelect: (from: string, until: string) => void;
}

/** The number of objects over time; dragging selects a span. */
export function Histogram({ filter, onSelect }: Props): JSX.Element {
  const { client } = useSession();
  const bars = useLoad(filter === null ? null : JSON.stringify(filter), (signal) =>
    loadBars(client, filter ?? {}, signal),
  );
  const data = filter === null ? null : bars.data;
  const chart = useMemo(() => (data === null || data.starts.length === 0 ? null : chartOf(data)), [data]);
  return (
    <figure class="histogram" aria-busy={bars.isLoading} style={{ minHeight: `${String(HEIGHT)}px` }}>
      {filter !== null && bars.problem !== null && <p class="error-text">{problemText(bars.problem)}</p>}
      {chart !== null && (
        <Plot
          {...chart}
          label="Objects over time (UTC). The times of the filter can also be typed."
          onSelect={(from, until) => onSelect(timeText(from), timeText(until))}
        />
      )}
    </figure>
  );
}

async function loadBars(client: StowageClient, filter: Filter, signal: AbortSignal): Promise<Bars> {
  const span = await loadSpan(client, filter, signal);
  if (span === null) return { starts: [], counts: [], lengthMs: 0 };
  const { bucket, lengthMs } = bucketOf(span.untilMs - span.fromMs);
  const query = { ...filter, op: 'count', by: 'time', bucket } as const;
  const { data } = await client.GET('/api/v1/objects/aggregate', { params: { query }, signal });
  const { results } = data;
  return {
    starts: results.map(({ group }) => Date.parse(group as string) / 1000),
    counts: results.map(({ count }) => count),
    lengthMs,
  };
}

function chartOf({ starts, counts, lengthMs }: Bars): {
  options: Omit<uPlot.Options, 'width'>;
  data: uPlot.AlignedData;
} {
  const axis = {
    stroke: () => colour('muted'),
    grid: { stroke: () => colour('line'), width: 1 },
    ticks: { show: false },
  };
  const length = lengthMs / 1000;
  const options: Omit<uPlot.Options, 'width'> = {
    height: HEIGHT,
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    cursor: { drag: { x: true, y: false, setScale: false }, y: false, points: { show: false } },
    scales: { x: { range: [(starts[0] ?? 0) - length / 2, (starts.at(-1) ?? 0) + 1.5 * length] } },
    axes: [axis, { ...axis, size: 56, values: (_, values) => values.map((value) => COMPACT.format(value)) }],
    series: [
      {},
      {
        label: 'objects',
        fill: () => colour('accent'),
        points: { show: false },
        // A bar begins at the start of its bucket.
        paths: uPlot.paths.bars?.({ size: [0.9, 60], align: 1 }),
      } as uPlot.Series,
    ],
  };
  return { options, data: [starts, counts] };
}

function timeText(seconds: number): string {
  return new Date(Math.round(seconds) * 1000).toISOString().replace('.000Z', 'Z');
}

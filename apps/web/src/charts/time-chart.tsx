import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { colour, Plot } from '../ui/plot.js';
import { bucketText, isKnownZone } from './bucket-times.js';
import type { ShownSeries } from './legend.js';
import type { Chart } from './load-chart.js';
import { numberText } from './number-text.js';
import { stackBases, timeColumns, type TimeColumns } from './time-columns.js';

const HEIGHT = 360;
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact' });
/** Below this number of buckets each point of a line is marked. */
const MARKED_MAX = 60;
const AXIS_WIDTH = 60;
const TOOLTIP_DISTANCE = 14;

/** Ticks of the time axis, for spans from years to seconds, in the form of uPlot. */
const TICKS = [
  [31_536_000, '{YYYY}', null, null, null, null, null, null, 1],
  [2_419_200, '{MMM}', '\n{YYYY}', null, null, null, null, null, 1],
  [86_400, '{D} {MMM}', '\n{YYYY}', null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{D} {MMM} {YYYY}', null, '\n{D} {MMM}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{D} {MMM} {YYYY}', null, '\n{D} {MMM}', null, null, null, 1],
];

interface Props {
  title: string;
  chart: Chart & { bucket: string };
  shown: readonly ShownSeries[];
  isBars: boolean;
  /** In pixels. */
  height?: number;
  onSelect?: (from: string, until: string) => void;
}

/** Lines or bars over time, with the values under the pointer; dragging selects a span. */
export function TimeChart({ title, chart, shown, isBars, height = HEIGHT, onSelect }: Props): JSX.Element {
  const [hover, setHover] = useState<{ at: number; left: number; isRight: boolean } | null>(null);
  const zone = isKnownZone(chart.query.timeZone) ? chart.query.timeZone : 'UTC';
  const columns = useMemo(() => timeColumns(chart.groups, chart.bucket, shown), [chart, shown]);
  const plot = useMemo(() => {
    const moved = (moving: uPlot): void => {
      const left = moving.cursor.left ?? -1;
      const at = left < 0 ? null : hoveredIndex(moving, columns, isBars);
      setHover(at === null ? null : { at, left, isRight: left > moving.over.clientWidth / 2 });
    };
    return plotOf({ chart, shown, columns, isBars, zone, height, moved });
  }, [chart, shown, columns, isBars, zone, height]);
  const group = hover === null ? null : columns.groups[hover.at];
  const start = typeof group === 'number' ? chart.groups[group] : undefined;
  return (
    <div class="time-chart">
      <Plot
        {...plot}
        label={`${title} (${zone})`}
        onSelect={(from, until) => onSelect?.(timeText(from), timeText(until))}
      />
      {hover !== null && typeof start === 'string' && (
        <div class="tooltip" style={tooltipPlace(hover)} aria-hidden="true">
          <strong>{bucketText(start, chart.bucket, zone)}</strong>
          {shown.map(({ id, name, results, colourNumber }) => (
            <div key={id}>
              <span class={`swatch series-${String(colourNumber)}`} /> <span class="tooltip-name">{name}</span>{' '}
              <span class="tooltip-value">{numberText(results.get(group ?? -1)?.value) || '–'}</span>
            </div>
          ))}
        </div>
      )}
    </div>
  );
}

/** On the side of the pointer that has more room. @param left of the pointer, from the axis */
function tooltipPlace({ left, isRight }: { left: number; isRight: boolean }): Record<string, string> {
  const pointer = AXIS_WIDTH + left;
  return isRight
    ? { right: `calc(100% - ${String(pointer - TOOLTIP_DISTANCE)}px)` }
    : { left: `${String(pointer + TOOLTIP_DISTANCE)}px` };
}

/** Of bars the one under the pointer, of lines the nearest point. */
function hoveredIndex(plot: uPlot, { groups, starts, ends }: TimeColumns, isBars: boolean): number | null {
  const time = plot.posToVal(plot.cursor.left ?? 0, 'x');
  if (isBars) {
    const at = starts.findLastIndex((start) => start <= time);
    return at >= 0 && time < (ends[at] ?? 0) ? at : null;
  }
  let nearest: number | null = null;
  let distance = Infinity;
  for (const [at, start] of starts.entries()) {
    if (groups[at] === null || Math.abs(start - time) >= distance) continue;
    nearest = at;
    distance = Math.abs(start - time);
  }
  return nearest;
}

function plotOf({
  chart,
  shown,
  columns,
  isBars,
  zone,
  height,
  moved,
}: {
  chart: Chart;
  shown: readonly ShownSeries[];
  columns: TimeColumns;
  isBars: boolean;
  zone: string;
  height: number;
  moved: (plot: uPlot) => void;
}): { options: Omit<uPlot.Options, 'width'>; data: uPlot.AlignedData } {
  const { starts, ends, values } = columns;
  const isCount = chart.query.op === 'count';
  const isAmount = isCount || chart.query.op === 'sum';
  const isStacked = isBars && isAmount && chart.query.series !== null && !values.flat().some((one) => Number(one) < 0);
  const bases = isStacked ? stackBases(values) : values.map((column) => column.map(() => 0));
  const tops = values.map((column, index) =>
    column.map((value, at) => (value === null ? null : value + (bases[index]?.[at] ?? 0))),
  );
  const margin = ((ends.at(-1) ?? 0) - (starts[0] ?? 0)) * 0.01;
  const axis = {
    stroke: () => colour('muted'),
    grid: { stroke: () => colour('line'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  };
  const options: Omit<uPlot.Options, 'width'> = {
    height,
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
    cursor: { drag: { x: true, y: false, setScale: false }, y: false, points: { show: !isBars } },
    scales: {
      x: { range: [(starts[0] ?? 0) - margin, (isBars ? (ends.at(-1) ?? 0) : (starts.at(-1) ?? 0)) + margin] },
      y: { range: (_, min, max) => yRange(min, max, isBars || isAmount) },
    },
    axes: [
      { ...axis, values: TICKS, space: 64 },
      {
        ...axis,
        size: AXIS_WIDTH,
        values: (_, ticks) => ticks.map((tick) => (isCount && !Number.isInteger(tick) ? '' : COMPACT.format(tick))),
      },
    ],
    series: [
      {},
      ...shown.map(({ colourNumber }, index): uPlot.Series => {
        const stroke = (): string => colour(`series-${String(colourNumber)}`);
        if (!isBars) return { stroke, width: 2, points: pointsOf(values[index] ?? []), spanGaps: false };
        const slot = isStacked ? { slot: 0, slots: 1 } : { slot: index, slots: shown.length };
        return { fill: stroke, points: { show: false }, paths: barPaths(bases[index] ?? [], ends, slot) };
      }),
    ],
    hooks: { setCursor: [moved] },
  };
  return { options, data: [starts, ...tops] };
}

/** Amounts and bars have zero on their axis. */
function yRange(min: number | null, max: number | null, hasZero: boolean): uPlot.Range.MinMax {
  const low = hasZero ? Math.min(0, min ?? 0) : (min ?? 0);
  const high = hasZero ? Math.max(0, max ?? 0) : (max ?? 0);
  const pad = high === low ? Math.abs(high) || 1 : (high - low) * 0.06;
  return [hasZero && low === 0 ? 0 : low - pad, hasZero && high === 0 ? 0 : high + pad];
}

/** Marks all points of a short line; of a long one those between two gaps, which would not be visible. */
function pointsOf(values: readonly (number | null)[]): uPlot.Series.Points {
  const fill = (): string => colour('background');
  if (values.length <= MARKED_MAX) return { show: true, size: 6, fill };
  const isAlone = (at: number): boolean =>
    values[at] !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null;
  return { show: true, size: 6, fill, filter: () => Array.from(values.keys()).filter(isAlone) };
}

/** Bars as wide as their bucket, or a part of it; those of uPlot are as wide as the shortest distance between two. */
function barPaths(
  bases: readonly number[],
  ends: readonly number[],
  { slot, slots }: { slot: number; slots: number },
): uPlot.Series.PathBuilder {
  return (plot, index, from, until) => {
    const fill = new Path2D();
    for (let at = from; at <= until; at++) {
      const top = plot.data[index]?.[at];
      if (typeof top !== 'number') continue;
      const left = plot.valToPos(plot.data[0][at] ?? 0, 'x', true);
      const bucketWidth = plot.valToPos(ends[at] ?? 0, 'x', true) - left;
      const width = Math.max(1, (bucketWidth * 0.9) / slots);
      const [y, base] = [plot.valToPos(top, 'y', true), plot.valToPos(bases[at] ?? 0, 'y', true)];
      fill.rect(left + bucketWidth * 0.05 + slot * width, Math.min(y, base), width, Math.abs(base - y));
    }
    return { fill };
  };
}

function timeText(seconds: number): string {
  return new Date(Math.round(seconds) * 1000).toISOString().replace('.000Z', 'Z');
}

import type { JSX } from 'preact';
import type { Chart, ChartSeries } from './load-chart.js';

/** A series that is drawn, with the number of its colour. */
export interface ShownSeries extends ChartSeries {
  colourNumber: number;
}

/** Colours, and so series that are drawn at first. */
const COLOURS = 8;
/** Series that can be chosen. */
const LISTED = 40;

interface Props {
  chart: Chart;
  shown: readonly ShownSeries[];
  onChange: (ids: string[]) => void;
}

/** The series of a chart; a click draws one, or draws it no longer. */
export function Legend({ chart, shown, onChange }: Props): JSX.Element {
  const { series } = chart;
  const ids = shown.map(({ id }) => id);
  const toggle = (id: string): void => {
    onChange(ids.includes(id) ? ids.filter((one) => one !== id) : [...ids, id]);
  };
  return (
    <ul class="chart-legend" aria-label="Series">
      {series.slice(0, LISTED).map(({ id, name }) => {
        const own = shown.find((one) => one.id === id);
        return (
          <li key={id}>
            <button type="button" class="plain" aria-pressed={own !== undefined} onClick={() => toggle(id)}>
              <span class={`swatch${own === undefined ? '' : ` series-${String(own.colourNumber)}`}`} /> {name}
            </button>
          </li>
        );
      })}
      {series.length > LISTED && (
        <li class="muted">{(series.length - LISTED).toLocaleString('en')} more are in the CSV</li>
      )}
    </ul>
  );
}

/** The series that the URL names, or else those with the most values. */
export function shownSeries({ series }: Chart, ids: readonly string[] | null): ShownSeries[] {
  return series.flatMap((one, index) => {
    const isShown = ids === null ? index < COLOURS : ids.includes(one.id);
    return isShown ? [{ ...one, colourNumber: (index % COLOURS) + 1 }] : [];
  });
}

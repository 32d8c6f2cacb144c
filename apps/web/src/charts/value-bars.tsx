import type { JSX } from 'preact';
import { toJson } from '../api/json.js';
import { titleOf } from './chart-query.js';
import { valueName, type Chart } from './load-chart.js';
import { exactText, numberText } from './number-text.js';
import type { ShownSeries } from './legend.js';

/** More bars than a person compares; the table has all. */
const GROUPS_SHOWN = 50;

interface Props {
  chart: Chart;
  shown: readonly ShownSeries[];
  /** Indexes of groups in the order in which they are shown. */
  order: readonly number[];
}

/** A row of bars for each value or subject. */
export function ValueBars({ chart, shown, order }: Props): JSX.Element {
  const groups = order.slice(0, GROUPS_SHOWN);
  const numbers = groups.flatMap((group) => shown.map(({ results }) => numberOf(results.get(group)?.value) ?? 0));
  const low = Math.min(0, ...numbers);
  const length = Math.max(0, ...numbers) - low || 1;
  const percent = (number: number): string => `${String((100 * number) / length)}%`;
  return (
    <>
      <div class="value-bars" role="img" aria-label={`${titleOf(chart.query)}. The numbers are in the table below.`}>
        {groups.map((group) => {
          const name = valueName(chart.groups[group] ?? null);
          return (
            <div key={toJson(chart.groups[group] ?? null)} class="value-row">
              <span class="value-name" title={name}>
                {name}
              </span>
              <div class="value-tracks">
                {shown.map(({ id, name: seriesName, results, colourNumber }) => {
                  const value = results.get(group)?.value;
                  const number = numberOf(value);
                  return number === null ? null : (
                    <div key={id} class="value-track" title={`${seriesName}: ${exactText(value)}`}>
                      <span
                        class={`value-bar series-${String(colourNumber)}`}
                        style={{
                          marginLeft: percent(Math.min(number, 0) - low),
                          width: percent(Math.abs(number)),
                        }}
                      />
                      <span>{numberText(value)}</span>
                    </div>
                  );
                })}
              </div>
            </div>
          );
        })}
      </div>
      {order.length > groups.length && (
        <p class="muted">
          The first {groups.length} of {order.length.toLocaleString('en')} are drawn. The table has all.
        </p>
      )}
    </>
  );
}

/** The groups in the order of their greatest value, or in that of the server. */
export function orderOf({ groups }: Chart, shown: readonly ShownSeries[], isByValue: boolean): number[] {
  const greatest = groups.map((_, group) =>
    Math.max(...shown.map(({ results }) => numberOf(results.get(group)?.value) ?? -Infinity)),
  );
  const indexes = Array.from(groups.keys());
  if (!isByValue) return indexes;
  return indexes.sort((left, right) => compare(greatest[right] ?? 0, greatest[left] ?? 0));
}

/** Not by subtraction, because both can be infinite. */
function compare(left: number, right: number): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function numberOf(value: unknown): number | null {
  return value === undefined || value === null ? null : Number(toJson(value));
}

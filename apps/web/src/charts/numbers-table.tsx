import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { toJson } from '../api/json.js';
import { bucketText, isKnownZone } from './bucket-times.js';
import { groupName } from './chart-query.js';
import { valueName, type Chart, type ChartSeries } from './load-chart.js';
import { exactText, numberText } from './number-text.js';

const ROWS_AT_FIRST = 200;

interface Props {
  chart: Chart;
  shown: readonly ChartSeries[];
  order: readonly number[];
}

/** The numbers of a chart: a row for each group, a column for each series that is drawn. */
export function NumbersTable({ chart, shown, order }: Props): JSX.Element {
  const [isAll, setAll] = useState(false);
  const rows = isAll ? order : order.slice(0, ROWS_AT_FIRST);
  return (
    <>
      <div class="numbers" tabIndex={0} role="region" aria-label="Numbers">
        <table>
          <thead>
            <tr>
              <th scope="col">{groupHeading(chart)}</th>
              {shown.map(({ id, name }) => (
                <th key={id} scope="col" class="number">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((group) => (
              <tr key={toJson(chart.groups[group] ?? null)}>
                <th scope="row">{groupText(chart, group)}</th>
                {shown.map(({ id, results }) => {
                  const value = results.get(group)?.value;
                  return (
                    <td key={id} class="number" title={exactText(value)}>
                      {numberText(value)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length < order.length && (
        <p>
          <button type="button" onClick={() => setAll(true)}>
            Show all {order.length.toLocaleString('en')} rows
          </button>
        </p>
      )}
    </>
  );
}

function groupHeading({ query }: Chart): string {
  return query.by === 'time' ? `time (${query.timeZone})` : groupName(query.by ?? '');
}

function groupText({ groups, bucket, query }: Chart, index: number): string {
  const group = groups[index] ?? null;
  if (bucket === null || typeof group !== 'string') return valueName(group);
  return bucketText(group, bucket, isKnownZone(query.timeZone) ? query.timeZone : 'UTC');
}

/** All series and groups as CSV (RFC 4180), numbers with all their digits; a chart over time also has the times in UTC. */
export function csvText(chart: Chart, order: readonly number[]): string {
  const { query, groups, series } = chart;
  const isByTime = query.by === 'time';
  const header = [...(isByTime ? ['time'] : []), groupHeading(chart), ...series.map(({ name }) => name)];
  const rows = order.map((group) => [
    ...(isByTime ? [cell(valueName(groups[group] ?? null))] : []),
    typeof groups[group] === 'string' ? cell(groupText(chart, group)) : exactText(groups[group]),
    ...series.map(({ results }) => exactText(results.get(group)?.value)),
  ]);
  return [header.map(cell), ...rows].map((row) => `${row.join(',')}\r\n`).join('');
}

/** Text that a spreadsheet would read as a formula begins with an apostrophe, as in exports with `safe=true`. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import type { Problem, Schemas } from '../api/client.js';
import { curlText, queryText, urlText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { useLoad } from '../api/use-load.js';
import { FilterBar } from '../objects/filter-bar.js';
import { conditionsOf, type FilterName } from '../objects/objects-query.js';
import { textsOf, useQuery, type Changes } from '../query.js';
import { useSession } from '../session.js';
import { CopyButton } from '../ui/copy-button.js';
import { saveFile } from '../ui/save-file.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import {
  CHART_PARAMETERS,
  chartQuery,
  titleOf,
  type ChartParameter,
  type ChartParameters,
  type ChartQuery,
} from './chart-query.js';
import { ChartForm } from './chart-form.js';
import './charts.css';
import { Legend, shownSeries } from './legend.js';
import { loadChart, type Chart } from './load-chart.js';
import { numberText } from './number-text.js';
import { csvText, NumbersTable } from './numbers-table.js';
import { TimeChart } from './time-chart.js';
import { orderOf, ValueBars } from './value-bars.js';

type Change = (changes: Changes<ChartParameter>) => void;

/** Charts that are offered where the project has their keys. */
const EXAMPLES: readonly { title: string; keys: readonly string[]; parameters: ChartParameters }[] = [
  {
    title: 'Temperature of rooms over time',
    keys: ['temperature', 'room'],
    parameters: { op: 'avg', key: 'temperature', series: 'data.room' },
  },
  {
    title: 'Actual against goal of factories',
    keys: ['sprocket_production_actual', 'sprocket_production_goal'],
    parameters: {
      op: 'sum',
      key: 'sprocket_production_actual',
      second_key: 'sprocket_production_goal',
      by: 'subject',
    },
  },
  {
    title: 'Firmware versions over time',
    keys: ['version'],
    parameters: { op: 'count', series: 'data.version', chart: 'bars', data: '{"version":{"$exists":true}}' },
  },
];

/** One figure over time, or for each value of a key, computed by the server. */
export function ChartsPage(): JSX.Element {
  const { client } = useSession();
  const [parameters, change] = useQuery(CHART_PARAMETERS);
  const keysInUse = useGet('/api/v1/objects/keys');
  const keys = keysInUse.data?.results ?? [];
  // Encrypted values can be neither computed nor grouped.
  const clearKeys = keys.filter(({ encrypted = false }) => !encrypted);
  const query = chartQuery(parameters);
  const isComplete = query.op === 'count' || query.keys.length > 0;
  const loaded = useLoad(isComplete ? JSON.stringify(query) : null, (signal) => loadChart(client, query, signal));
  // A link shows the same to somebody in another time zone.
  const changeHere: Change = (changes) =>
    change({ time_zone: query.by === 'time' ? query.timeZone : null, ...changes });
  const changeFilter = ({ key: _key, value: _value, ...changes }: Changes<FilterName>): void => changeHere(changes);
  return (
    <main id="main" class="charts">
      <FilterBar
        query={filterOf(parameters)}
        conditions={conditionsOf(parameters.data)}
        keys={keys}
        all="All objects"
        onChange={changeFilter}
      />
      <ChartForm
        parameters={parameters}
        keys={clearKeys}
        chosenBucket={loaded.data?.bucket ?? null}
        onChange={changeHere}
      />
      {!isComplete && (
        <Empty title="Choose a key">
          <p>Choose the key whose values are computed: “of” lists the keys that have numbers.</p>
        </Empty>
      )}
      {isComplete && loaded.problem !== null && (
        <ChartProblem problem={loaded.problem} query={query} onChange={changeHere} onRetry={loaded.reload} />
      )}
      {isComplete && loaded.data === null && loaded.isLoading && <Loading label="Computing" />}
      {isComplete && loaded.data !== null && (
        <ChartView chart={loaded.data} parameters={parameters} isLoading={loaded.isLoading} onChange={changeHere} />
      )}
      <Examples keys={clearKeys} />
    </main>
  );
}

/** `key` is what the chart computes, not a filter. */
function filterOf({ key: _, ...filters }: ChartParameters): ChartParameters {
  return filters;
}

interface ViewProps {
  chart: Chart;
  parameters: ChartParameters;
  isLoading: boolean;
  onChange: Change;
}

function ChartView({ chart, parameters, isLoading, onChange }: ViewProps): JSX.Element {
  const shown = useMemo(() => shownSeries(chart, textsOf(parameters.shown)), [chart, parameters.shown]);
  const { query, bucket } = chart;
  const isByValue = query.by !== 'time' && parameters.order !== 'group';
  const order = useMemo(() => orderOf(chart, shown, isByValue), [chart, shown, isByValue]);
  const title = titleOf(query);
  if (chart.series.length === 0) {
    return (
      <Empty title="No values">
        <p>
          {query.keys.length === 0
            ? 'No objects match the filter.'
            : 'No object that matches the filter has a number under this key. Numbers in text, such as "42", are not computed.'}
        </p>
      </Empty>
    );
  }
  return (
    <section aria-label={title} aria-busy={isLoading} class="chart-view">
      <h1>{title}</h1>
      {query.by === null ? (
        <Figures chart={chart} />
      ) : (
        <>
          {chart.series.length > 1 && (
            <Legend chart={chart} shown={shown} onChange={(ids) => onChange({ shown: JSON.stringify(ids) })} />
          )}
          {shown.length === 0 && <Empty title="Choose a series above" />}
          {shown.length > 0 && bucket !== null && (
            <TimeChart
              title={`${title}. The numbers are in the table below.`}
              chart={{ ...chart, bucket }}
              shown={shown}
              isBars={parameters.chart === 'bars'}
              onSelect={(observed_from, observed_until) => onChange({ observed_from, observed_until })}
            />
          )}
          {shown.length > 0 && bucket === null && <ValueBars chart={chart} shown={shown} order={order} />}
        </>
      )}
      <div class="toolbar">
        <h2>Numbers</h2>
        <a href={`/browse/objects${queryText({ ...query.filter, key: query.keys[0] })}`}>Its objects</a>
        <button
          type="button"
          onClick={() => saveFile(new Blob([csvText(chart, order)], { type: 'text/csv' }), 'chart.csv')}
        >
          Download CSV
        </button>
        <CopyButton
          label="Copy as curl"
          text={chart.requests.map((request) => curlText('/api/v1/objects/aggregate', request)).join('\n')}
        />
        <CopyButton
          label="Copy as URL"
          text={chart.requests.map((request) => urlText('/api/v1/objects/aggregate', request)).join('\n')}
        />
      </div>
      {query.by !== null && <NumbersTable chart={chart} shown={shown} order={order} />}
    </section>
  );
}

function Figures({ chart }: { chart: Chart }): JSX.Element {
  return (
    <ul class="figures">
      {chart.series.map(({ id, name, results, count }) => (
        <li key={id}>
          <strong>{numberText(results.get(0)?.value)}</strong> {name}{' '}
          <span class="muted">
            {count.toLocaleString('en')} {chart.query.keys.length === 0 ? 'objects' : 'values'}
          </span>
        </li>
      ))}
    </ul>
  );
}

function ChartProblem(props: {
  problem: Problem;
  query: ChartQuery;
  onChange: Change;
  onRetry: () => void;
}): JSX.Element {
  const { problem, query, onChange, onRetry } = props;
  const isWrong = (parameter: string): boolean =>
    problem.errors?.some((error) => error.parameter === parameter) ?? false;
  return (
    <>
      <ProblemNote problem={problem} onRetry={onRetry} />
      <p class="actions">
        {isWrong('bucket') && query.bucket !== null && (
          <button type="button" onClick={() => onChange({ bucket: null })}>
            Choose the bucket automatically
          </button>
        )}
        {isWrong('series') && (
          <button type="button" onClick={() => onChange({ series: null, shown: null })}>
            Draw one series
          </button>
        )}
        {isWrong('time_zone') && (
          <button type="button" onClick={() => onChange({ time_zone: 'UTC' })}>
            Use UTC
          </button>
        )}
      </p>
    </>
  );
}

function Examples({ keys }: { keys: readonly Schemas['ObjectKeyDto'][] }): JSX.Element {
  const names = new Set(keys.map(({ key }) => key));
  const examples = EXAMPLES.filter((example) => example.keys.every((key) => names.has(key)));
  if (examples.length === 0) return <></>;
  return (
    <nav aria-label="Examples" class="actions">
      <span class="muted">Examples:</span>
      {examples.map(({ title, parameters }) => (
        <a key={title} href={`/browse/charts${queryText(parameters)}`}>
          {title}
        </a>
      ))}
    </nav>
  );
}

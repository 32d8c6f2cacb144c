import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { Problem, Schemas, StowageClient } from '../api/client.js';
import { given, queryText } from '../api/parameters.js';
import { problemOfError, useLoad } from '../api/use-load.js';
import { TimeChart } from '../charts/time-chart.js';
import { numberText } from '../charts/number-text.js';
import { useSession } from '../session.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { useVisible } from '../ui/use-visible.js';
import { factoryChart } from './factory-chart.js';

const PAGE_SIZE = 20;
const SUMS_CHART = queryText({
  op: 'sum',
  key: 'sprocket_production_actual',
  second_key: 'sprocket_production_goal',
  by: 'subject',
});

interface FactoriesPage {
  factories: Schemas['FactoryDto'][];
  /** The cursor of the next page. */
  next: string | null;
}

/** The factories in the order stored, each with a chart of actual against goal. */
export function Factories(): JSX.Element {
  const { client } = useSession();
  const first = useLoad('factories', (signal) => loadFactories(client, null, signal));
  const [more, setMore] = useState<FactoriesPage[]>([]);
  const [state, setState] = useState<{ isLoading: boolean; problem: Problem | null }>({
    isLoading: false,
    problem: null,
  });
  const pages = first.data === null ? [] : [first.data, ...more];
  const next = pages.at(-1)?.next ?? null;
  const loadMore = async (cursor: string): Promise<void> => {
    setState({ isLoading: true, problem: null });
    try {
      const page = await loadFactories(client, cursor);
      setMore((known) => [...known, page]);
      setState({ isLoading: false, problem: null });
    } catch (error) {
      setState({ isLoading: false, problem: problemOfError(error) });
    }
  };
  const factories = pages.flatMap((page) => page.factories);
  return (
    <>
      {first.problem !== null && <ProblemNote problem={first.problem} onRetry={first.reload} />}
      {first.data === null && first.isLoading && <Loading label="Loading factories" />}
      {first.data !== null && factories.length === 0 && (
        <Empty title="This project has no factories yet">
          <p>
            <a href="/guides/feeds">How to send factories</a>
          </p>
        </Empty>
      )}
      {factories.length > 0 && (
        <p class="actions">
          <a href={`/browse/charts${SUMS_CHART}`}>Chart of all factories</a>
        </p>
      )}
      <ul class="factories">
        {factories.map((factory) => (
          <FactoryCard key={factory.id} factory={factory} />
        ))}
      </ul>
      {state.problem !== null && <ProblemNote problem={state.problem} />}
      {next !== null && (
        <p class="load-more">
          <button type="button" disabled={state.isLoading} onClick={() => void loadMore(next)}>
            {state.isLoading ? 'Loading …' : 'Load more'}
          </button>
        </p>
      )}
    </>
  );
}

function FactoryCard({ factory }: { factory: Schemas['FactoryDto'] }): JSX.Element {
  const [card, isVisible] = useVisible<HTMLLIElement>();
  const drawn = useMemo(() => factoryChart(factory), [factory]);
  return (
    <li ref={card}>
      <h2>{factory.id}</h2>
      {drawn === null ? (
        <p class="muted">no times</p>
      ) : (
        <>
          <p class="factory-sums">
            <span>
              <span class="swatch series-1" /> actual {numberText(drawn.actual)}
            </span>
            <span>
              <span class="swatch series-2" /> goal {numberText(drawn.goal)}
            </span>
            {drawn.goal > 0 && (
              <span class="muted">{String(Math.round((100 * drawn.actual) / drawn.goal))} % of the goal</span>
            )}
          </p>
          {isVisible && (
            <TimeChart
              title={`Actual and goal of ${factory.id} over time`}
              chart={drawn.chart}
              shown={drawn.shown}
              isBars={false}
              height={200}
            />
          )}
        </>
      )}
    </li>
  );
}

/** @throws StowageError */
async function loadFactories(
  client: StowageClient,
  cursor: string | null,
  signal?: AbortSignal,
): Promise<FactoriesPage> {
  const query = { page_size: PAGE_SIZE, ...given({ cursor }) };
  const { data, response } = await client.GET('/api/v1/factories', { params: { query }, signal: signal ?? null });
  const next = /<([^>]+)>; rel="next"/.exec(response.headers.get('Link') ?? '')?.[1];
  return { ...data, next: next === undefined ? null : new URL(next).searchParams.get('cursor') };
}

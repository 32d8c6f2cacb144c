import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { API, queryText, type Api } from '../api/api.js';
import { parseJson } from '../api/json.js';
import type { Problem } from '../api/types.js';
import { problemOfError, useLoad } from '../api/use-load.js';
import { TimeChart } from '../charts/time-chart.js';
import { numberText } from '../charts/number-text.js';
import { useSession } from '../session.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { useVisible } from '../ui/use-visible.js';
import { factoryChart } from './factory-chart.js';
import type { Factory } from './types.js';

const PAGE_SIZE = 20;
const FIRST_PAGE = `/factories${queryText({ page_size: PAGE_SIZE })}`;
const SUMS_CHART = queryText({
  op: 'sum',
  key: 'sprocket_production_actual',
  second_key: 'sprocket_production_goal',
  by: 'subject',
});

interface FactoriesPage {
  factories: Factory[];
  /** The path of the next page. */
  next: string | null;
}

/** The factories in the order stored, each with a chart of actual against goal. */
export function Factories(): JSX.Element {
  const { api } = useSession();
  const first = useLoad('factories', (signal) => loadFactories(api, FIRST_PAGE, signal));
  const [more, setMore] = useState<FactoriesPage[]>([]);
  const [state, setState] = useState<{ isLoading: boolean; problem: Problem | null }>({
    isLoading: false,
    problem: null,
  });
  const pages = first.data === null ? [] : [first.data, ...more];
  const next = pages.at(-1)?.next ?? null;
  const loadMore = async (path: string): Promise<void> => {
    setState({ isLoading: true, problem: null });
    try {
      const page = await loadFactories(api, path);
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

function FactoryCard({ factory }: { factory: Factory }): JSX.Element {
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

/** @throws ApiError */
async function loadFactories(api: Api, path: string, signal?: AbortSignal): Promise<FactoriesPage> {
  const response = await api.request(path, { signal: signal ?? null });
  const { factories } = parseJson(await response.text()) as unknown as { factories: Factory[] };
  const url = /<([^>]+)>; rel="next"/.exec(response.headers.get('Link') ?? '')?.[1];
  if (url === undefined) return { factories, next: null };
  const { pathname, search } = new URL(url);
  return { factories, next: pathname.slice(API.length) + search };
}

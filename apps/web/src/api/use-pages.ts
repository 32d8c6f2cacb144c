import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { useSession } from '../session.js';
import type { GetInit, Item, ListPath, Page, Problem } from './client.js';
import type { GetParameters } from './use-get.js';
import { problemOfError } from './use-load.js';

export const PAGE_SIZE = 100;

/** The number of all results. */
export type Count = Pick<Page<'/api/v1/objects'>, 'count' | 'count_is'>;

interface Loaded<T> {
  items: readonly T[];
  count: Count | null;
  hasMore: boolean;
  problem: Problem | null;
}

export interface Pages<T> extends Loaded<T> {
  isLoading: boolean;
  /** Loads the next page, unless it is being loaded. */
  loadMore: () => void;
  /** Loads the page again that could not be loaded. */
  retry: () => void;
  /** Loads the first page again; the items stay until it arrives. */
  reload: () => void;
}

const NOTHING = { items: [], count: null, hasMore: false };

/** The pages of a list that have been loaded so far, one after the other. */
export function usePages<Path extends ListPath>(path: Path, parameters?: GetParameters<Path>): Pages<Item<Path>> {
  const { client } = useSession();
  const key = JSON.stringify([path, parameters]);
  const [loaded, setLoaded] = useState<Loaded<Item<Path>> & { key: string }>({ key: '', ...NOTHING, problem: null });
  const [attempt, setAttempt] = useState(0);
  const [isLoading, setLoading] = useState(false);
  const loadNext = useRef<() => Promise<void>>(null);

  useEffect(() => {
    const abort = new AbortController();
    const { signal } = abort;
    const pages = client.pages(path, listInit(parameters, signal));
    let items: Item<Path>[] = [];
    let count: Count | null = null;
    loadNext.current = async () => {
      setLoading(true);
      try {
        const page = (await pages.next()).value as (Count & { next: string | null; results: Item<Path>[] }) | undefined;
        if (signal.aborted || page === undefined) return;
        items = [...items, ...page.results];
        count ??= page;
        setLoaded({ key, items, count, hasMore: page.next !== null, problem: null });
      } catch (error) {
        if (signal.aborted) return;
        const problem = problemOfError(error);
        setLoaded((last) => (count === null ? { key, ...NOTHING, problem } : { ...last, problem }));
      }
      setLoading(false);
    };
    void loadNext.current();
    return () => {
      abort.abort();
    };
  }, [client, key, attempt]);

  const { hasMore, problem } = loaded;
  const load = (): void => void loadNext.current?.();
  const reload = useCallback(() => {
    setAttempt((last) => last + 1);
  }, []);
  return {
    ...loaded,
    isLoading: isLoading || loaded.key !== key,
    loadMore: () => {
      if (hasMore && !isLoading && problem === null) load();
    },
    retry: load,
    reload,
  };
}

function listInit<Path extends ListPath>(
  parameters: GetParameters<Path> | undefined,
  signal: AbortSignal,
): GetInit<Path> {
  const { query, ...params }: { query?: object } = parameters ?? {};
  return { params: { ...params, query: { ...query, page_size: PAGE_SIZE } }, signal } as unknown as GetInit<Path>;
}

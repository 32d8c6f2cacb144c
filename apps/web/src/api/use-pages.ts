import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { useSession } from '../session.js';
import type { Parameters } from './api.js';
import type { Page, Problem } from './types.js';
import { problemOfError } from './use-load.js';

export const PAGE_SIZE = 100;

export interface Pages<T> {
  items: readonly T[];
  count: Pick<Page<T>, 'count' | 'count_is'> | null;
  hasMore: boolean;
  isLoading: boolean;
  problem: Problem | null;
  /** Loads the next page, unless it is being loaded. */
  loadMore: () => void;
  retry: () => void;
  /** Loads the first page again; the items stay until it arrives. */
  reload: () => void;
}

const NOTHING = { items: [], count: null, next: null, problem: null };

/**
 * The pages of a list that have been loaded so far, one after the other.
 * @param path of the list; null to load nothing
 */
export function usePages<T>(path: string | null, parameters: Parameters = {}): Pages<T> {
  const { api } = useSession();
  const key = JSON.stringify([path, parameters]);
  const [loaded, setLoaded] = useState<{
    key: string;
    items: T[];
    count: Pages<T>['count'];
    next: string | null;
    problem: Problem | null;
  }>({ key: '', ...NOTHING });
  const [attempt, setAttempt] = useState(0);
  const [isLoading, setLoading] = useState(false);
  const abort = useRef<AbortController | null>(null);

  const load = useCallback(
    (read: (signal: AbortSignal) => Promise<Page<T>>, isFirst: boolean) => {
      abort.current?.abort();
      const controller = new AbortController();
      abort.current = controller;
      setLoading(true);
      read(controller.signal).then(
        ({ results, next, ...count }) => {
          if (controller.signal.aborted) return;
          setLoaded((last) => ({
            key,
            items: isFirst ? results : [...last.items, ...results],
            count: isFirst ? count : last.count,
            next,
            problem: null,
          }));
          setLoading(false);
        },
        (error: unknown) => {
          if (controller.signal.aborted) return;
          const problem = problemOfError(error);
          setLoaded((last) => (isFirst ? { key, ...NOTHING, problem } : { ...last, problem }));
          setLoading(false);
        },
      );
    },
    [key],
  );

  useEffect(() => {
    if (path === null) return;
    load((signal) => api.get(path, { ...parameters, page_size: PAGE_SIZE }, signal), true);
    return () => {
      abort.current?.abort();
    };
  }, [api, load, attempt]);

  const { next, problem } = loaded;
  const loadMore = (): void => {
    if (next !== null && !isLoading && problem === null) load((signal) => api.follow(next, signal), false);
  };
  const reload = useCallback(() => {
    setAttempt((count) => count + 1);
  }, []);
  const retry = (): void => {
    if (next === null) reload();
    else load((signal) => api.follow(next, signal), false);
  };
  return {
    ...loaded,
    hasMore: next !== null,
    isLoading: path !== null && (isLoading || loaded.key !== key),
    loadMore,
    retry,
    reload,
  };
}

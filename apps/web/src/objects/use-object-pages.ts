import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Parameters } from '../api/api.js';
import type { Page, Problem, StoredObject } from '../api/types.js';
import { problemOfError } from '../api/use-load.js';
import { useSession } from '../session.js';

const PAGE_SIZE = 100;

export interface ObjectPages {
  objects: readonly StoredObject[];
  count: Pick<Page<unknown>, 'count' | 'count_is'> | null;
  hasMore: boolean;
  isLoading: boolean;
  problem: Problem | null;
  /** Loads the next page, unless it is being loaded. */
  loadMore: () => void;
  retry: () => void;
}

const NOTHING = { objects: [], count: null, next: null, problem: null };

/** The pages of a list that have been loaded so far, one after the other. */
export function useObjectPages(parameters: Parameters): ObjectPages {
  const { api } = useSession();
  const key = JSON.stringify(parameters);
  const [loaded, setLoaded] = useState<{
    key: string;
    objects: StoredObject[];
    count: ObjectPages['count'];
    next: string | null;
    problem: Problem | null;
  }>({ key: '', ...NOTHING });
  const [attempt, setAttempt] = useState(0);
  const [isLoading, setLoading] = useState(false);
  const abort = useRef<AbortController | null>(null);

  const load = useCallback(
    (read: (signal: AbortSignal) => Promise<Page<StoredObject>>, isFirst: boolean) => {
      abort.current?.abort();
      const controller = new AbortController();
      abort.current = controller;
      setLoading(true);
      read(controller.signal).then(
        ({ results, next, ...count }) => {
          if (controller.signal.aborted) return;
          setLoaded((last) => ({
            key,
            objects: isFirst ? results : [...last.objects, ...results],
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
    load((signal) => api.get('/objects', { ...parameters, page_size: PAGE_SIZE }, signal), true);
    return () => {
      abort.current?.abort();
    };
  }, [api, load, attempt]);

  const { next, problem } = loaded;
  const loadMore = (): void => {
    if (next !== null && !isLoading && problem === null) load((signal) => api.follow(next, signal), false);
  };
  const retry = (): void => {
    if (next === null) setAttempt((count) => count + 1);
    else load((signal) => api.follow(next, signal), false);
  };
  return { ...loaded, hasMore: next !== null, isLoading: isLoading || loaded.key !== key, loadMore, retry };
}

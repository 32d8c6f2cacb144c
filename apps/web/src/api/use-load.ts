import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { StowageError, type Problem } from './client.js';

export interface Loaded<T> {
  /** The last result, also while another one is loaded. */
  data: T | null;
  problem: Problem | null;
  isLoading: boolean;
  reload: () => void;
}

/**
 * Loads something, and again whenever `key` changes; a request that is not needed any more is aborted.
 * @param key what the result depends on, as text; null to load nothing
 */
export function useLoad<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [result, setResult] = useState<{ key: string | null; data: T | null; problem: Problem | null }>({
    key: null,
    data: null,
    problem: null,
  });
  const [attempt, setAttempt] = useState(0);
  const current = useRef(load);
  current.current = load;
  useEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    current.current(abort.signal).then(
      (data) => {
        if (!abort.signal.aborted) setResult({ key, data, problem: null });
      },
      (error: unknown) => {
        if (!abort.signal.aborted) setResult({ key, data: null, problem: problemOfError(error) });
      },
    );
    return () => {
      abort.abort();
    };
  }, [key, attempt]);
  const reload = useCallback(() => {
    setResult((last) => ({ ...last, key: null }));
    setAttempt((count) => count + 1);
  }, []);
  return { data: result.data, problem: result.problem, isLoading: key !== null && result.key !== key, reload };
}

export function problemOfError(error: unknown): Problem {
  if (error instanceof StowageError) return error.problem;
  const detail = error instanceof Error ? error.message : String(error);
  return { type: '', title: 'This page has an error', status: 0, detail };
}

import { useEffect, useRef, useState } from 'preact/hooks';

const POLL_MS = 2_000;
/** Then the list is refreshed by its button only: a page that is left open costs the server nothing. */
const POLLS_MAX = 150;

/**
 * Calls a function every two seconds, 150 times, while the tab is visible.
 * @param isActive whether there is something to poll for
 * @returns a function that begins to count again
 */
export function usePolling(isActive: boolean, poll: () => void): { isPolling: boolean; restart: () => void } {
  const [polls, setPolls] = useState(0);
  const [isVisible, setVisible] = useState(!document.hidden);
  const current = useRef(poll);
  current.current = poll;
  const isPolling = isActive && isVisible && polls < POLLS_MAX;

  useEffect(() => {
    const change = (): void => {
      setVisible(!document.hidden);
    };
    document.addEventListener('visibilitychange', change);
    return () => {
      document.removeEventListener('visibilitychange', change);
    };
  }, []);
  useEffect(() => {
    if (!isPolling) return;
    const timer = setTimeout(() => {
      setPolls(polls + 1);
      current.current();
    }, POLL_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [isPolling, polls]);
  return {
    isPolling,
    restart: () => {
      setPolls(0);
    },
  };
}

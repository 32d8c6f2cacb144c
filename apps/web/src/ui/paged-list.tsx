import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Pages } from '../api/use-pages.js';
import { Loading, ProblemNote } from './states.js';

interface Props<T> {
  pages: Pages<T>;
  /** The plural of the items, such as `devices`. */
  name: string;
  /** What is shown for an empty list. */
  empty: ComponentChildren;
  /** Renders the items; there is at least one. */
  children: (items: readonly T[]) => JSX.Element;
}

/** A list in pages with its error, loading and empty states. Loads the next page when the end becomes visible. */
export function PagedList<T>({ pages, name, empty, children }: Props<T>): JSX.Element {
  const { items, isLoading, problem, retry } = pages;
  return (
    <>
      {problem !== null && <ProblemNote problem={problem} onRetry={retry} />}
      {items.length === 0 && isLoading && <Loading label={`Loading ${name}`} />}
      {items.length === 0 && !isLoading && problem === null && empty}
      {items.length > 0 && children(items)}
      <LoadMore pages={pages} />
    </>
  );
}

function LoadMore({ pages }: { pages: Pages<unknown> }): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const { hasMore, isLoading, loadMore } = pages;
  useEffect(() => {
    if (!hasMore || isLoading || place.current === null) return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting === true) loadMore();
      },
      { rootMargin: '400px' },
    );
    observer.observe(place.current);
    return () => {
      observer.disconnect();
    };
  }, [pages.items, hasMore, isLoading]);
  return (
    <div ref={place} class="load-more">
      {hasMore && (
        <button type="button" disabled={isLoading} onClick={loadMore}>
          {isLoading ? 'Loading …' : 'Load more'}
        </button>
      )}
    </div>
  );
}

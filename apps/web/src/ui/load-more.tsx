import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Pages } from '../api/use-pages.js';

/** Loads the next page of a list when the end of the list becomes visible. */
export function LoadMore({ pages }: { pages: Pages<unknown> }): JSX.Element {
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

import { LRUCache } from 'lru-cache';

/** What the last search of a list by the inverted index has shown. */
export interface ListSearch {
  /** How many segments it needed. */
  segments: number;
  /** The share of the searched objects that match; 0 where a scan of the next objects did not fill a page since. */
  share: number;
  /** How many objects were compared, where the index did not decide whether they match. */
  compared: number;
}

/** A scan is used where the searched objects have so many times the matches of the page: those of the next objects vary. */
const FREQUENT = 4;
const SEARCHES_MAX = 2_000;
const SEARCH_TTL_MS = 60_000;

/** Remembers the last search of at most 2,000 lists, each for a minute. What is remembered changes the cost of a page, never its content. */
export class ListSearches {
  private readonly searches: LRUCache<string, ListSearch>;

  constructor(clock: { now(): number } = performance) {
    this.searches = new LRUCache({
      max: SEARCHES_MAX,
      ttl: SEARCH_TTL_MS,
      noUpdateTTL: true,
      ttlResolution: 0,
      perf: clock,
    });
  }

  find(list: string): ListSearch | null {
    return this.searches.get(list) ?? null;
  }

  /** @param hasScanFailed whether a scan before this search did not fill the page: the matches are not evenly distributed */
  add(list: string, { segments, share, compared }: ListSearch, hasScanFailed: boolean): void {
    const isUneven = hasScanFailed || this.find(list)?.share === 0;
    this.searches.set(list, { segments, share: isUneven ? 0 : share, compared });
  }
}

/** Whether a scan of some objects is expected to find a page and the object after it. */
export function isScanExpectedToFill({ share }: ListSearch, { rows, size }: { rows: number; size: number }): boolean {
  return share * rows > FREQUENT * (size + 1);
}

export interface AnyPage {
  next: string | null;
  results: readonly unknown[];
}

/**
 * The pages of a list. Unlike a generator, it does not end with an error: `next` then requests the same page again.
 * @param first requests the first page
 * @param follow requests the page at a URL
 */
export function pagesOf<Page extends AnyPage>(
  first: () => Promise<Page>,
  follow: (url: string) => Promise<Page>,
): AsyncIterableIterator<Page, undefined> {
  let request: (() => Promise<Page>) | null = first;
  return {
    async next() {
      if (request === null) return { done: true, value: undefined };
      const page = await request();
      const { next } = page;
      request = next === null ? null : () => follow(next);
      return { done: false, value: page };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

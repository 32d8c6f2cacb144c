import type { JSX } from 'preact';
import type { Page } from '../api/types.js';

interface Props {
  /** Null while it loads. */
  count: Pick<Page<unknown>, 'count' | 'count_is'> | null;
  one: string;
  many: string;
}

/** The number of items of a list, and how certain it is. */
export function CountText({ count, one, many }: Props): JSX.Element {
  if (count?.count == null) return <span class="count" aria-live="polite" />;
  const number = count.count.toLocaleString('en');
  const words = { exact: number, at_least: `more than ${number}`, estimated: `about ${number}` }[
    count.count_is ?? 'exact'
  ];
  return (
    <span class="count" aria-live="polite">
      {words} {count.count === 1 ? one : many}
    </span>
  );
}

import type { JSX } from 'preact';
import type { Count } from '../api/use-pages.js';

interface Props {
  /** Null while it loads. */
  count: Count | null;
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

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { displayText, toJson } from '../api/json.js';
import { useGet } from '../api/use-get.js';
import { problemText } from '../ui/states.js';
import type { Filter } from './objects-query.js';

const OPEN_AT_FIRST = 3;
const VALUES = 8;

interface Props {
  keys: readonly Schemas['ObjectKeyDto'][];
  filter: Filter;
  onFilter: (key: string, value: unknown, isExcluded: boolean) => void;
}

/** The most frequent values of each key under the filter. */
export function Facets({ keys, filter, onFilter }: Props): JSX.Element {
  const [open, setOpen] = useState<ReadonlySet<string> | null>(null);
  const isOpen = (key: string): boolean =>
    open?.has(key) ?? keys.slice(0, OPEN_AT_FIRST).some((known) => known.key === key);
  const toggle = (key: string): void => {
    const next = new Set(open ?? keys.slice(0, OPEN_AT_FIRST).map((known) => known.key));
    if (!next.delete(key)) next.add(key);
    setOpen(next);
  };
  return (
    <aside class="facets" aria-label="Values">
      {keys.map(({ key, encrypted = false }) => (
        <section key={key}>
          <h2>
            <button type="button" class="plain" aria-expanded={isOpen(key)} onClick={() => toggle(key)}>
              {key}
            </button>
          </h2>
          {isOpen(key) && encrypted && <p class="muted">encrypted</p>}
          {isOpen(key) && !encrypted && <FacetValues name={key} filter={filter} onFilter={onFilter} />}
        </section>
      ))}
    </aside>
  );
}

function FacetValues({ name, filter, onFilter }: Omit<Props, 'keys'> & { name: string }): JSX.Element {
  const facet = useGet('/api/v1/objects/facets', { query: { ...filter, key: name, size: VALUES } });
  // The place is kept while the values load, so that nothing below moves.
  if (facet.problem !== null) return <p class="facet-values error-text">{problemText(facet.problem)}</p>;
  if (facet.data === null) return <div class="facet-values" aria-busy="true" />;
  const { results, other, count_is } = facet.data;
  const most = Math.max(1, ...results.map(({ count }) => count));
  return (
    <ul class="facet-values" aria-busy={facet.isLoading}>
      {results.map(({ value, count }) => (
        <li key={toJson(value)}>
          <button
            type="button"
            class="facet-value"
            title="Only objects with this value"
            onClick={() => onFilter(name, value, false)}
          >
            <span class="facet-bar" style={{ width: `${String((100 * count) / most)}%` }} />
            <span class="facet-name">{displayText(value) === '' ? '(empty text)' : displayText(value)}</span>
            <span class="facet-count">{count.toLocaleString('en')}</span>
          </button>
          <button
            type="button"
            class="plain"
            aria-label={`Not ${displayText(value)}`}
            title="Only objects without this value"
            onClick={() => onFilter(name, value, true)}
          >
            ≠
          </button>
        </li>
      ))}
      {results.length === 0 && <li class="muted">no values</li>}
      {other > 0 && (
        <li class="muted">
          other: {count_is === 'at_least' && 'at least '}
          {other.toLocaleString('en')}
        </li>
      )}
      {count_is === 'at_least' && <li class="muted">The numbers are lower bounds: too many objects match.</li>}
    </ul>
  );
}

import type { JSX } from 'preact';

interface Props {
  label: string;
  /** The parameter of the URL and its title. */
  tabs: readonly (readonly [name: string, title: string])[];
  current: string;
  hrefOf: (name: string) => string;
}

/** Parts of a view, each with a URL of its own. */
export function Tabs({ label, tabs, current, hrefOf }: Props): JSX.Element {
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map(([name, title]) => (
        <a key={name} href={hrefOf(name)} aria-current={name === current ? 'page' : undefined}>
          {title}
        </a>
      ))}
    </nav>
  );
}

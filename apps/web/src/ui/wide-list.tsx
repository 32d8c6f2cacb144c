import type { ComponentChildren, JSX } from 'preact';

/** A table of many columns, which scrolls sideways where the page is narrow. */
export function WideList({ label, children }: { label: string; children: ComponentChildren }): JSX.Element {
  return (
    <div class="list-scroller" role="region" aria-label={label} tabIndex={0}>
      <table class="list">{children}</table>
    </div>
  );
}

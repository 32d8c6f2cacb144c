import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

interface Props {
  options: Omit<uPlot.Options, 'width'>;
  data: uPlot.AlignedData;
  /** What the chart shows, for a screen reader. */
  label: string;
  /** Called with the start and end of a span that was selected by dragging, in seconds. */
  onSelect?: (from: number, until: number) => void;
}

/** A chart as wide as its place. */
export function Plot({ options, data, label, onSelect }: Props): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const select = useRef(onSelect);
  select.current = onSelect;
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const selected = (plot: uPlot): void => {
      const { left, width } = plot.select;
      if (width > 2) select.current?.(plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x'));
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    };
    const plot = new uPlot(
      { ...options, width: element.clientWidth, hooks: { ...options.hooks, setSelect: [selected] } },
      data,
      element,
    );
    const observer = new ResizeObserver(() => {
      plot.setSize({ width: element.clientWidth, height: options.height });
    });
    observer.observe(element);
    // It remembers where it was on the page, and may have been moved since.
    plot.over.addEventListener('mouseenter', () => {
      plot.syncRect();
    });
    const stopThemes = onThemeChange(() => {
      plot.redraw(false);
    });
    return () => {
      observer.disconnect();
      stopThemes();
      plot.destroy();
    };
  }, [options, data]);
  return <div ref={place} role="img" aria-label={label} style={{ height: `${String(options.height)}px` }} />;
}

/** Calls back when the theme of the page or of the system has changed. */
function onThemeChange(changed: () => void): () => void {
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributeFilter: ['data-theme'] });
  const system = matchMedia('(prefers-color-scheme: dark)');
  system.addEventListener('change', changed);
  return () => {
    observer.disconnect();
    system.removeEventListener('change', changed);
  };
}

/** A colour of the style sheet. Options take it as a function, because the theme can change. */
export function colour(name: string): string {
  // The value of the property has the colours of both themes; that of an element has one.
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  probe.hidden = true;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

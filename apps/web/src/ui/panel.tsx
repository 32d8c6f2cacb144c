import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface Props {
  title: string;
  /** Names the panel for a screen reader. */
  label: string;
  onClose: () => void;
  children: ComponentChildren;
}

/** Shows one item of a list beside it. Escape closes it, and the focus returns to where it was. */
export function Panel({ title, label, onClose, children }: Props): JSX.Element {
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  useEffect(() => {
    panel.current?.focus();
  }, [label]);
  return (
    <aside
      ref={panel}
      class="panel"
      tabIndex={-1}
      aria-label={label}
      onKeyDown={(event) => {
        // In a dialog of the panel, Escape closes the dialog only.
        const isInDialog = event.target instanceof Element && event.target.closest('dialog') !== null;
        if (event.key === 'Escape' && !isInDialog) onClose();
      }}
    >
      <header>
        <h2>{title}</h2>
        <button type="button" class="plain" aria-label="Close" onClick={onClose}>
          ×
        </button>
      </header>
      {children}
    </aside>
  );
}

import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { displayText } from '../api/json.js';
import type { Cell } from './object-table.js';

interface Props {
  cell: Cell;
  /** Null for a key whose values are encrypted. */
  onFilter: ((isExcluded: boolean) => void) | null;
  onClose: () => void;
}

/** What can be done with a value of the table. */
export function CellMenu({ cell, onFilter, onClose }: Props): JSX.Element {
  const menu = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    menu.current?.querySelector('button')?.focus();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  const keyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') onClose();
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    const buttons = Array.from(menu.current?.querySelectorAll('button') ?? []);
    const at = buttons.findIndex((button) => button === document.activeElement);
    buttons.at((at + (event.key === 'ArrowDown' ? 1 : -1)) % buttons.length)?.focus();
  };
  const { key, value, place } = cell;
  const choose = (action: () => void) => () => {
    onClose();
    action();
  };
  return (
    <>
      <div class="menu-backdrop" onClick={onClose} />
      <div
        ref={menu}
        class="menu"
        role="menu"
        aria-label={`${key}: ${displayText(value)}`}
        onKeyDown={keyDown}
        style={{
          left: `${String(Math.min(place.left, innerWidth - 220))}px`,
          top: `${String(Math.min(place.bottom, innerHeight - 130))}px`,
        }}
      >
        {onFilter !== null && (
          <>
            <button type="button" role="menuitem" onClick={choose(() => onFilter(false))}>
              Only this
            </button>
            <button type="button" role="menuitem" onClick={choose(() => onFilter(true))}>
              Not this
            </button>
          </>
        )}
        <button
          type="button"
          role="menuitem"
          onClick={choose(() => void navigator.clipboard.writeText(displayText(value)).catch(() => undefined))}
        >
          Copy
        </button>
      </div>
    </>
  );
}

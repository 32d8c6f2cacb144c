import type { JSX } from 'preact';
import type { Schemas } from '../api/client.js';
import { Dialog } from '../ui/dialog.js';

interface Props {
  keys: readonly Schemas['ObjectKeyDto'][];
  columns: readonly string[];
  onChange: (columns: string[]) => void;
  onClose: () => void;
}

/** Picks the keys that have a column. */
export function ColumnsDialog({ keys, columns, onChange, onClose }: Props): JSX.Element {
  const toggle = (key: string): void => {
    onChange(columns.includes(key) ? columns.filter((column) => column !== key) : [...columns, key]);
  };
  return (
    <Dialog title="Columns" onClose={onClose}>
      <ul class="column-list">
        {keys.map(({ key, objects, types, encrypted = false }) => (
          <li key={key}>
            <label>
              <input type="checkbox" checked={columns.includes(key)} onChange={() => toggle(key)} /> {key}{' '}
              <span class="muted">
                {objects.toLocaleString('en')} objects, {encrypted ? 'encrypted' : types.join(', ')}
              </span>
            </label>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

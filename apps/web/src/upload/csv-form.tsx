import type { JSX } from 'preact';
import { DELIMITERS, type CsvOptions } from './csv.js';

interface Props {
  columns: readonly string[];
  options: CsvOptions;
  isDisabled: boolean;
  onChange: (options: CsvOptions) => void;
}

const MEMBERS = [
  ['id', 'Column of the object id', 'none: numbers the rows'],
  ['observedAt', 'Column of the time', 'none: the time of the upload'],
  ['subject', 'Column of the subject', 'none'],
] as const;

/** Another delimiter makes other columns. */
const NO_COLUMNS = { id: '', subject: '', observedAt: '' };

/** Maps the columns of a table to the members of objects. */
export function CsvForm({ columns, options, isDisabled, onChange }: Props): JSX.Element {
  return (
    <>
      {MEMBERS.map(([name, label, none]) => (
        <label key={name}>
          {label}
          <select
            disabled={isDisabled}
            value={options[name]}
            onChange={(event) => onChange({ ...options, [name]: event.currentTarget.value })}
          >
            <option value="">{none}</option>
            {columns.map((column, index) => (
              <option key={index} value={column}>
                {column}
              </option>
            ))}
          </select>
        </label>
      ))}
      <label>
        Delimiter
        <select
          disabled={isDisabled}
          value={options.delimiter}
          onChange={(event) =>
            onChange({ ...NO_COLUMNS, isText: options.isText, delimiter: event.currentTarget.value })
          }
        >
          {DELIMITERS.map(([delimiter, words]) => (
            <option key={delimiter} value={delimiter}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label class="check">
        <input
          type="checkbox"
          disabled={isDisabled}
          checked={options.isText}
          onChange={(event) => onChange({ ...options, isText: event.currentTarget.checked })}
        />
        Keep numbers, true and false as text
      </label>
    </>
  );
}

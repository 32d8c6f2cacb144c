import type { JSX } from 'preact';
import type { ProblemError } from '../api/client.js';
import { saveFile } from '../ui/save-file.js';
import { rowsAt } from './rows.js';
import type { UploadFile } from './upload-file.js';

interface Props {
  file: UploadFile;
  errors: readonly ProblemError[];
  /** The number of all errors, of which the server lists the first. */
  errorCount: number;
}

/** The errors of rows with their places, and these rows as a file. */
export function RejectedRows({ file, errors, errorCount }: Props): JSX.Element {
  const lines = new Set(errors.flatMap(({ pointer }) => lineOf(pointer) ?? []));
  const word = file.kind === 'JSON' ? 'Object' : 'Line';
  const save = async (): Promise<void> => {
    const isCsv = file.kind === 'CSV';
    const rows = await rowsAt(file.body, isCsv, lines);
    const header = isCsv ? file.preview.slice(0, 1) : [];
    const text = [...header, ...rows].map((row) => `${row.text}\n`).join('');
    saveFile(new Blob([text]), `rejected-${file.name.replace(/\.\w+$/, '')}.${isCsv ? 'csv' : 'ndjson'}`);
  };
  return (
    <>
      <table class="list errors">
        <thead>
          <tr>
            <th scope="col" class="line">
              {word}
            </th>
            <th scope="col" class="line">
              Place
            </th>
            <th scope="col">Error</th>
          </tr>
        </thead>
        <tbody>
          {errors.map(({ pointer = '', detail }) => (
            <tr key={`${pointer} ${detail}`}>
              <td>{lineOf(pointer)}</td>
              <td>
                <code>{placeOf(pointer)}</code>
              </td>
              <td>{detail}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {errorCount > errors.length && (
        <p>
          The server lists the first {errors.length} of {errorCount.toLocaleString('en')} errors. Rows with the other
          errors are not in the file: correct these, and check again.
        </p>
      )}
      {lines.size > 0 && (
        <p>
          <button type="button" onClick={() => void save()}>
            Download {lines.size === 1 ? 'this row' : `these ${String(lines.size)} rows`}
          </button>
        </p>
      )}
    </>
  );
}

/** Whether an error is of a row, without which the others can be stored. An error of the header is not. */
export function isRowError(file: UploadFile, { pointer }: ProblemError): boolean {
  const line = lineOf(pointer);
  return line !== undefined && (file.kind !== 'CSV' || line !== file.preview[0]?.line);
}

/** The line of a pointer such as `/lines/7/data`; undefined for other pointers. */
function lineOf(pointer: string | undefined): number | undefined {
  const line = /^\/lines\/(\d+)/.exec(pointer ?? '')?.[1];
  return line === undefined ? undefined : Number(line);
}

/** The pointer within the row. */
function placeOf(pointer: string): string {
  return pointer.replace(/^\/lines\/\d+/, '');
}

import type { JSX } from 'preact';
import { displayText, isJsonObject, parseJson, toJson } from '../api/json.js';
import { cellsOf, type CsvOptions } from './csv.js';
import type { Row } from './rows.js';
import type { UploadFile } from './upload-file.js';

/** The first rows of a file. */
export function Preview({ file, csv }: { file: UploadFile; csv: CsvOptions | null }): JSX.Element {
  return (
    <section aria-label="First rows" class="preview" tabIndex={0}>
      {csv === null ? <ObjectPreview file={file} /> : <CsvPreview file={file} options={csv} />}
    </section>
  );
}

function CsvPreview({ file, options }: { file: UploadFile; options: CsvOptions }): JSX.Element {
  const table = file.preview.map(({ line, text }) => ({ line, cells: cellsOf(text, options.delimiter) }));
  const width = Math.max(...table.map(({ cells }) => cells.length));
  // Rows may have more cells than the header, or fewer; the check reports them.
  const [header, ...rows] = table.map(({ line, cells }) => ({
    line,
    cells: Array.from({ length: width }, (_, index) => cells[index] ?? ''),
  }));
  const names: Record<string, string> = {
    [options.observedAt]: 'observed_at',
    [options.subject]: 'subject',
    [options.id]: 'object_id',
    '': '',
  };
  return (
    <table class="list">
      <thead>
        <tr>
          <th scope="col" class="line">
            Line
          </th>
          {header?.cells.map((cell, index) => (
            <th key={index} scope="col">
              {cell} {names[cell] && <span class="muted">→ {names[cell]}</span>}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ line, cells }) => (
          <tr key={line}>
            <td>{line}</td>
            {cells.map((cell, index) => (
              <td key={index}>{cell}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function ObjectPreview({ file }: { file: UploadFile }): JSX.Element {
  return (
    <table class="list">
      <thead>
        <tr>
          <th scope="col" class="line">
            {file.kind === 'JSON' ? 'Object' : 'Line'}
          </th>
          {['object_id', 'subject', 'observed_at', 'data'].map((name) => (
            <th key={name} scope="col">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {file.preview.map((row) => (
          <ObjectRow key={row.line} row={row} />
        ))}
      </tbody>
    </table>
  );
}

function ObjectRow({ row }: { row: Row }): JSX.Element {
  const object = parsed(row.text);
  if (!isJsonObject(object)) {
    return (
      <tr>
        <td>{row.line}</td>
        <td colSpan={4} class="exact">
          {row.text.slice(0, 200)}
        </td>
      </tr>
    );
  }
  const { object_id, subject, observed_at, data } = object;
  return (
    <tr>
      <td>{row.line}</td>
      {[object_id, subject, observed_at].map((value, index) => (
        <td key={index}>{value === undefined ? <span class="muted">none</span> : displayText(value)}</td>
      ))}
      <td class="exact">{data === undefined ? '' : toJson(data).slice(0, 200)}</td>
    </tr>
  );
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}

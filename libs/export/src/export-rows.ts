import { LineBuffer } from './line-buffer.js';

/** An object as COPY returns it; `observed_at` is RFC 3339 in UTC, and `data` the text of a list of pairs. */
export interface ExportRow {
  object_id: string;
  batch_id: string;
  subject: string | null;
  observed_at: string;
  data: string;
}

const NULL_FIELD = '\\N';
const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** Parses COPY's text format: fields end with a tab, rows with a line feed, and a backslash escapes both. */
export class ExportRows {
  private readonly lines = new LineBuffer();

  /** The rows that end in this chunk. */
  take(chunk: Buffer): ExportRow[] {
    const text = this.lines.take(chunk);
    return text === null ? [] : text.split('\n').map(parseRow);
  }
}

function parseRow(line: string): ExportRow {
  const batchAt = line.indexOf('\t');
  const subjectAt = line.indexOf('\t', batchAt + 1);
  const timeAt = line.indexOf('\t', subjectAt + 1);
  const dataAt = line.indexOf('\t', timeAt + 1);
  const row: ExportRow = {
    object_id: line.slice(0, batchAt),
    batch_id: line.slice(batchAt + 1, subjectAt),
    subject: line.slice(subjectAt + 1, timeAt),
    observed_at: `${line.slice(timeAt + 1, timeAt + 11)}T${line.slice(timeAt + 12, dataAt - 3)}Z`,
    data: line.slice(dataAt + 1),
  };
  if (!line.includes('\\')) return row;
  row.subject = row.subject === NULL_FIELD ? null : unescape(row.subject ?? '');
  row.object_id = unescape(row.object_id);
  row.batch_id = unescape(row.batch_id);
  row.data = unescape(row.data);
  return row;
}

/** The id of an object and its data, which are all columns of a row. */
export function parseDataRow(line: string): Pick<ExportRow, 'object_id' | 'data'> {
  const dataAt = line.indexOf('\t');
  return { object_id: unescape(line.slice(0, dataAt)), data: unescape(line.slice(dataAt + 1)) };
}

/** A field of COPY's text format that is not null. */
function unescape(field: string): string {
  if (!field.includes('\\')) return field;
  return field.replace(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? letter);
}

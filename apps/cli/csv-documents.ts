import { cellJson, CsvError, csvRows, encodingError, rowLengthError, type CsvRow } from '#csv';
import { DocumentError, type Document } from './document.js';
import { SourceError } from './load-source.js';

const LINE_FEED = 10;
/** A longer row would exceed the limit of an object. */
const ROW_BYTES_MAX = 1024 ** 2;
const HOW_TO_SKIP = '; where the header is not the first line, name those before it, such as --skip-lines 1';

export interface CsvOptions {
  /** Undefined takes the one that the header has most often. */
  delimiter: string | undefined;
  /** Whether cells are numbers, booleans and null where they look like them. */
  isTyped: boolean;
  /** Lines that are neither the header nor rows, from 1. */
  skippedLines: ReadonlySet<number>;
  /** Columns that must exist, by the option that names them. */
  named: ReadonlyMap<string, string>;
}

/** The rows of CSV below its header, and the errors of rows. @throws SourceError */
export async function* csvDocuments(
  content: AsyncIterable<Buffer>,
  { delimiter, isTyped, skippedLines, named }: CsvOptions,
): AsyncGenerator<Document | DocumentError> {
  const bytes = skippedLines.size === 0 ? content : withoutLines(content, skippedLines);
  let columns: readonly string[] | undefined;
  let rowCount = 0;
  try {
    for await (const { rows } of csvRows(bytes, { delimiter, rowBytesMax: ROW_BYTES_MAX })) {
      for (const row of rows) {
        if (columns === undefined) columns = columnsOf(row, named);
        else yield documentOf(row, columns, isTyped, rowCount++ === 0 ? HOW_TO_SKIP : '');
      }
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const { line, column, reason } = error;
    throw new SourceError(
      column === undefined ? reason : `column ${String(column)} ${reason}`,
      `/lines/${String(line)}`,
    );
  }
  if (columns === undefined) throw new SourceError('has no header line');
}

function columnsOf({ line, cells, invalid }: CsvRow, named: ReadonlyMap<string, string>): readonly string[] {
  const pointer = `/lines/${String(line)}`;
  if (invalid !== undefined)
    throw new SourceError(`column ${String(invalid.cell + 1)} ${encodingError(invalid.byte)}`, pointer);
  const columns = cells.map((cell) => cell ?? '');
  const nameless = columns.indexOf('');
  if (nameless !== -1) throw new SourceError(`column ${String(nameless + 1)} of the header has no name`, pointer);
  for (const [option, name] of named) {
    const count = columns.filter((column) => column === name).length;
    if (count > 1) throw new SourceError(`has ${String(count)} columns "${name}" (${option})`, pointer);
    if (count === 1) continue;
    throw new SourceError(`has no column "${name}" (${option}); its columns are ${columns.join(', ')}`, pointer);
  }
  return columns;
}

/** @param hint what to do about another number of cells than the header has */
function documentOf(row: CsvRow, columns: readonly string[], isTyped: boolean, hint: string): Document | DocumentError {
  const detail = rowLengthError(row, columns.length);
  if (detail !== undefined) return new DocumentError(row.line, detail + hint);
  if (row.invalid !== undefined) {
    return new DocumentError(row.line, `${encodingError(row.invalid.byte)} (${columns[row.invalid.cell] ?? ''})`);
  }
  const members = columns.map((name, index) => ({ name, valueText: cellJson(row.cells[index] ?? null, isTyped) }));
  return { place: row.line, members };
}

/** Makes the lines with these numbers empty, so that the others keep theirs. */
async function* withoutLines(content: AsyncIterable<Buffer>, skipped: ReadonlySet<number>): AsyncGenerator<Buffer> {
  const last = Math.max(...skipped);
  let line = 1;
  for await (const piece of content) {
    let start = 0;
    while (line <= last && start < piece.length) {
      const lineFeed = piece.indexOf(LINE_FEED, start);
      const end = lineFeed === -1 ? piece.length : lineFeed;
      yield piece.subarray(skipped.has(line) ? end : start, lineFeed === -1 ? end : end + 1);
      start = lineFeed === -1 ? end : end + 1;
      if (lineFeed !== -1) line++;
    }
    if (start < piece.length) yield piece.subarray(start);
  }
}

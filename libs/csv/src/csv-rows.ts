import { isUtf8 } from 'node:buffer';
import { CsvError as ParserError, parse, type Parser } from 'csv-parse';
import { CsvError } from './csv-error.js';
import { HeaderScan } from './header-scan.js';

/** Bytes that are parsed without a yield: about a millisecond. */
const SLICE_BYTES = 16 * 1024;
const CARRIAGE_RETURN = 13;
const LINE_FEED = 10;

export interface CsvRow {
  /** The line of the file on which the row begins, from 1. */
  line: number;
  /** Null for an empty cell without quotes. */
  cells: (string | null)[];
  /** Without the line break. */
  sizeBytes: number;
  /** The first cell that is not UTF-8, from 0, and its first invalid byte. */
  invalid: { cell: number; byte: number } | undefined;
}

export interface CsvFormat {
  /** One character; undefined takes the one that the header line has most often. */
  delimiter: string | undefined;
  /** The largest row. */
  rowBytesMax: number;
}

/** The rows that end in a part of the file. */
interface CsvRows {
  rows: CsvRow[];
  /** The length of the part. */
  sizeBytes: number;
}

/**
 * The rows of CSV (RFC 4180), the header included, in parts of at most 16 KiB. A row ends with LF, CR LF or CR; empty lines are left
 * out. Memory is bounded by the longest row.
 * @param bytes without a byte order mark
 * @throws CsvError for a quotation mark at a wrong place, for a row that is too long, and where the delimiter cannot be found
 */
export async function* csvRows(bytes: AsyncIterable<Buffer>, format: CsvFormat): AsyncGenerator<CsvRows> {
  const { delimiter, rowBytesMax } = format;
  const header = new HeaderScan(rowBytesMax);
  let rows = delimiter === undefined ? null : new RowParser(delimiter, rowBytesMax);
  for await (const piece of bytes) {
    if (rows !== null) yield* rows.parse(piece);
    else if (header.take(piece)) {
      rows = new RowParser(header.delimiter, rowBytesMax);
      yield* rows.parse(header.bytes);
    }
  }
  if (rows === null) {
    rows = new RowParser(header.delimiter, rowBytesMax);
    yield* rows.parse(header.bytes);
  }
  yield await rows.end();
}

/**
 * csv-parse reads bytes as Latin-1, so that the length of a text is that of its bytes and invalid UTF-8 is not replaced. Its `raw`
 * text of a row shows what it does not report: the lines of the row and whether an empty cell has quotes. See docs/decisions/032.
 */
class RowParser {
  private readonly parser: Parser;
  /** The line on which the next row begins. */
  private line = 1;
  /** At least the number of bytes of the row that has begun. */
  private openBytes = 0;

  constructor(
    private readonly delimiter: string,
    private readonly rowBytesMax: number,
  ) {
    const lineEnds = ['\r\n', '\n', '\r'];
    this.parser = parse({
      delimiter,
      encoding: 'latin1',
      raw: true,
      record_delimiter: lineEnds,
      relax_column_count: true,
      // Otherwise every empty line is an error of the parser, which is ignored, and takes as long as 50 rows.
      skip_empty_lines: true,
    });
    // The callbacks of `write` and `end` get the error too.
    this.parser.on('error', () => undefined);
  }

  async *parse(piece: Buffer): AsyncGenerator<CsvRows> {
    for (let start = 0; start < piece.length; start += SLICE_BYTES) {
      const slice = piece.subarray(start, start + SLICE_BYTES);
      const { line } = this;
      const rows = await this.parsed((done) => this.parser.write(slice, done));
      this.openBytes = slice.length + (this.line === line ? this.openBytes : 0);
      if (this.openBytes > this.rowBytesMax + SLICE_BYTES) throw this.tooLong(this.line, slice.every(isLineBreak));
      yield { rows, sizeBytes: slice.length };
    }
  }

  async end(): Promise<CsvRows> {
    return { rows: await this.parsed((done) => this.parser.end(done)), sizeBytes: 0 };
  }

  /** @param feed gives bytes to the parser, which parses them before it returns */
  private async parsed(feed: (done: (error?: Error | null) => void) => void): Promise<CsvRow[]> {
    const rows: CsvRow[] = [];
    try {
      await new Promise<void>((resolve, reject) => {
        feed((error) => {
          if (error == null) resolve();
          else reject(error);
        });
        this.take(rows);
      });
    } catch (error) {
      throw error instanceof ParserError ? this.misplacedQuote(error) : error;
    }
    this.take(rows);
    return rows;
  }

  /** Adds the rows that are parsed. */
  private take(rows: CsvRow[]): void {
    for (let next = this.next(); next !== null; next = this.next()) {
      const emptyLines = emptyLinesIn(next.raw);
      const raw = next.raw.slice(emptyLines);
      const line = this.line + emptyLines;
      this.line = line + lineBreaksIn(raw);
      const sizeBytes = isLineBreak(raw.charCodeAt(raw.length - 1)) ? raw.length - 1 : raw.length;
      if (sizeBytes > this.rowBytesMax) throw this.tooLong(line);
      const cells = cellsOf(next.record, raw, this.delimiter);
      rows.push({ line, cells, sizeBytes, invalid: decode(cells, raw) });
    }
  }

  private next(): { record: string[]; raw: string } | null {
    return this.parser.read() as { record: string[]; raw: string } | null;
  }

  /** @param isEmpty whether the row ends in empty lines, which also come before a row */
  private tooLong(line = this.line, isEmpty = false): CsvError {
    const reason = isEmpty ? 'is followed by too many empty lines' : 'is too long';
    return new CsvError(`${reason}, or a quotation mark is missing`, line, undefined, true);
  }

  private misplacedQuote({ code, column }: ParserError & { column?: unknown }): CsvError {
    const reason =
      code === 'CSV_QUOTE_NOT_CLOSED'
        ? 'has no quotation mark at its end'
        : 'has a quotation mark inside; put the cell in quotation marks, and write each of those inside twice';
    return new CsvError(reason, this.line, Number(column) + 1);
  }
}

function isLineBreak(character: number): boolean {
  return character === LINE_FEED || character === CARRIAGE_RETURN;
}

/** The number of empty lines before a row, each of which is one character of `raw`. */
function emptyLinesIn(raw: string): number {
  let count = 0;
  while (isLineBreak(raw.charCodeAt(count))) count++;
  return count;
}

/** Of the line break CR LF at the end of a row or of an empty line, `raw` has only the CR. */
function lineBreaksIn(raw: string): number {
  let count = 0;
  for (let i = 0; i < raw.length; i++) {
    const c = raw.charCodeAt(i);
    if (c === LINE_FEED || (c === CARRIAGE_RETURN && raw.charCodeAt(i + 1) !== LINE_FEED)) count++;
  }
  return count;
}

/** The cells of a row, null for those that are empty without quotes. */
function cellsOf(record: (string | null)[], raw: string, delimiter: string): (string | null)[] {
  if (!record.includes('')) return record;
  let start = 0;
  for (let cell = 0; cell < record.length; cell++) {
    const isQuoted = raw.charAt(start) === '"';
    if (record[cell] === '' && !isQuoted) record[cell] = null;
    start = raw.indexOf(delimiter, isQuoted ? endOfQuoted(raw, start) : start) + 1;
  }
  return record;
}

/** Index after the closing quotation mark of the cell that starts at `start`. */
function endOfQuoted(raw: string, start: number): number {
  for (let end = start + 1; ; end += 2) {
    end = raw.indexOf('"', end);
    if (raw.charAt(end + 1) !== '"') return end + 1;
  }
}

/** Decodes the cells from Latin-1 to UTF-8. @returns the first cell that is not valid */
function decode(cells: (string | null)[], raw: string): CsvRow['invalid'] {
  // eslint-disable-next-line no-control-regex -- all of ASCII
  if (/^[\x00-\x7f]*$/.test(raw)) return undefined;
  for (const [index, cell] of cells.entries()) {
    if (cell === null) continue;
    const bytes = Buffer.from(cell, 'latin1');
    if (!isUtf8(bytes)) return { cell: index, byte: firstInvalidByte(bytes) };
    cells[index] = bytes.toString();
  }
  return undefined;
}

/** The first byte that differs when the text is encoded again. */
function firstInvalidByte(bytes: Buffer): number {
  const encoded = Buffer.from(bytes.toString());
  return bytes.find((byte, index) => byte !== encoded[index]) ?? 0;
}

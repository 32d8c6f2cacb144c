const QUOTE = 34;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

export interface Row {
  /** The line of the file on which the row begins, from 1. */
  line: number;
  text: string;
}

/**
 * The rows of a text file that are not empty.
 * @param isCsv whether a row goes on after a line break in quotation marks, and a CR ends one, too
 */
/** A file that cannot be uploaded. The message has the reason. */
export class FileError extends Error {}

/** Characters of a row; the server takes a row of 1 MiB. */
const ROW_LENGTH_MAX = 2 * 1024 ** 2;

async function* rowsOf(file: Blob, isCsv: boolean): AsyncGenerator<Row> {
  const reader = file.stream().pipeThrough(new TextDecoderStream()).getReader();
  try {
    let open = '';
    let line = 1;
    let firstLine = 1;
    let isQuoted = false;
    let isAfterCr = false;
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const text = read.value;
      let start = 0;
      for (let index = 0; index < text.length; index++) {
        const c = text.charCodeAt(index);
        const isSecondOfBreak = c === LINE_FEED && isAfterCr;
        isAfterCr = isCsv && c === CARRIAGE_RETURN;
        if (isCsv && c === QUOTE) isQuoted = !isQuoted;
        if (isSecondOfBreak && !isQuoted) start = index + 1;
        if (isSecondOfBreak || (c !== LINE_FEED && !isAfterCr)) continue;
        line++;
        if (isQuoted) continue;
        open += text.slice(start, index);
        if (open.trim() !== '') yield { line: firstLine, text: open };
        open = '';
        start = index + 1;
        firstLine = line;
      }
      open += text.slice(start);
      if (open.length > ROW_LENGTH_MAX) {
        throw new FileError(`Line ${String(firstLine)} is too long, or a quotation mark is missing.`);
      }
    }
    if (open.trim() !== '') yield { line: firstLine, text: open };
  } finally {
    await reader.cancel();
  }
}

/** The first rows of a file. */
export async function firstRows(file: Blob, isCsv: boolean, count: number): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of rowsOf(file, isCsv)) {
    rows.push(row);
    if (rows.length === count) break;
  }
  return rows;
}

/** The rows that begin on these lines. */
export async function rowsAt(file: Blob, isCsv: boolean, lines: ReadonlySet<number>): Promise<Row[]> {
  const rows: Row[] = [];
  const last = Math.max(...lines);
  for await (const row of rowsOf(file, isCsv)) {
    if (lines.has(row.line)) rows.push(row);
    if (row.line >= last) break;
  }
  return rows;
}

import type { CsvRow } from './csv-rows.js';

/** The error of a row that does not have as many cells as the header; undefined for any other. */
export function rowLengthError({ cells }: CsvRow, columnCount: number): string | undefined {
  if (cells.length === columnCount) return undefined;
  return `has ${counted(cells.length, 'cell')}, but the header has ${counted(columnCount, 'column')}`;
}

function counted(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** The error of a cell that is not UTF-8. */
export function encodingError(byte: number): string {
  return `is not valid UTF-8 at the byte 0x${byte.toString(16).toUpperCase()}; send the file as UTF-8`;
}

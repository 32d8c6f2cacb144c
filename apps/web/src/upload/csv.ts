/** The delimiters that the server knows, with their names. */
export const DELIMITERS: readonly (readonly [string, string])[] = [
  [',', 'comma'],
  [';', 'semicolon'],
  ['|', 'vertical bar'],
  ['\t', 'tab'],
];

/** How a table becomes objects. */
export interface CsvOptions {
  delimiter: string;
  /** The columns with these members of each object; empty for none. */
  id: string;
  subject: string;
  observedAt: string;
  /** Whether every cell is text. */
  isText: boolean;
}

/** The options that a header suggests. */
export function suggestedOptions(header: string): CsvOptions {
  const delimiter = delimiterOf(header);
  const columns = cellsOf(header, delimiter);
  const find = (...names: string[]): string =>
    names.find((name) => columns.filter((column) => column === name).length === 1) ?? '';
  return {
    delimiter,
    id: find('object_id', 'id'),
    subject: find('subject'),
    observedAt: find('observed_at'),
    isText: false,
  };
}

/** The delimiter that a header has most often outside of quotation marks. */
function delimiterOf(header: string): string {
  const plain = header.replace(/"[^"]*"/g, '');
  const counts = DELIMITERS.map(([delimiter]) => plain.split(delimiter).length);
  return DELIMITERS[counts.indexOf(Math.max(...counts))]?.[0] ?? ',';
}

export function cellsOf(row: string, delimiter: string): string[] {
  const cells: string[] = [];
  let cell = '';
  let isQuoted = false;
  for (let index = 0; index < row.length; index++) {
    const c = row.charAt(index);
    if (isQuoted && c === '"' && row.charAt(index + 1) === '"') {
      cell += c;
      index++;
    } else if (c === '"' && (isQuoted || cell === '')) isQuoted = !isQuoted;
    else if (c === delimiter && !isQuoted) {
      cells.push(cell);
      cell = '';
    } else cell += c;
  }
  return [...cells, cell];
}

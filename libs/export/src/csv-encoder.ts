import type { EventLoopYield } from '#platform';
import { cellsOf, OBJECT_COLUMN_NAMES, type DataColumns } from './data-columns.js';
import type { ExportEncoder } from './export-encoder.js';
import type { ExportRow } from './export-rows.js';
import { textOf } from './stored-pairs.js';

const QUOTED = /[",\r\n]/;
/** The beginnings of a text that a spreadsheet takes for a formula (OWASP, CSV Injection). */
const FORMULA = /^[=+\-@\t\r]/;

/** CSV of RFC 4180, with a header. A missing value and null are empty; an empty text is quoted. */
export class CsvEncoder implements ExportEncoder {
  private readonly indexes: Map<string, number>;
  private head: string;

  /** @param isSafe whether text that looks like a formula begins with an apostrophe */
  constructor(
    columns: DataColumns,
    private readonly isSafe: boolean,
  ) {
    this.indexes = columns.indexes();
    const names = [...OBJECT_COLUMN_NAMES, ...columns.list().map(({ name }) => name)];
    this.head = `${names.map((name) => this.text(name)).join()}\r\n`;
  }

  async encode(rows: readonly ExportRow[], turns: EventLoopYield): Promise<string> {
    let csv = this.takeHead();
    for (const { object_id, batch_id, subject, observed_at, data } of rows) {
      csv += `${this.text(object_id)},${this.text(batch_id)},${subject === null ? '' : this.text(subject)},${observed_at}`;
      for (const cell of cellsOf(data, this.indexes)) csv += `,${this.cell(cell)}`;
      csv += '\r\n';
      if (turns.isDue) await turns.yield();
    }
    return csv;
  }

  end(): Promise<string> {
    return Promise.resolve(this.takeHead());
  }

  private takeHead(): string {
    const { head } = this;
    this.head = '';
    return head;
  }

  /** @param json undefined for no value */
  private cell(json: string | undefined): string {
    if (json === undefined || json === 'null') return '';
    return json.startsWith('"') ? this.text(textOf(json)) : quote(json);
  }

  private text(text: string): string {
    if (text === '') return '""';
    return quote(this.isSafe && FORMULA.test(text) ? `'${text}` : text);
  }
}

function quote(text: string): string {
  return QUOTED.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

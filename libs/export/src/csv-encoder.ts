import type { EventLoopYield } from '#platform';
import { textOf } from '#store';
import type { ExportEncoder } from './export-encoder.js';
import type { ExportRow } from './export-rows.js';
import { cellsOf, type Table } from './table.js';

const QUOTED = /[",\r\n]/;
/** The beginnings of a text that a spreadsheet takes for a formula (OWASP, CSV Injection). */
const FORMULA = /^[=+\-@\t\r]/;

/** CSV of RFC 4180, with a header. A missing value and null are empty; an empty text is quoted. */
export class CsvEncoder implements ExportEncoder {
  private head: string;

  /** @param isSafe whether text that looks like a formula begins with an apostrophe */
  constructor(
    private readonly table: Table,
    private readonly isSafe: boolean,
  ) {
    this.head = `${table.columns.map(({ name }) => this.text(name)).join()}\r\n`;
  }

  async encode(rows: readonly ExportRow[], turns: EventLoopYield): Promise<string> {
    let csv = this.takeHead();
    const { columns } = this.table;
    for (const row of rows) {
      const cells = cellsOf(row.data, this.table);
      for (let index = 0; index < columns.length; index++) {
        const member = columns[index]?.member;
        if (index > 0) csv += ',';
        csv += member === undefined ? this.cell(cells[index]) : this.member(row[member]);
      }
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

  private member(text: string | null): string {
    return text === null ? '' : this.text(text);
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

import { cellJson, encodingError, rowLengthError, type CsvRow } from '#csv';
import { JSON_VALUES_MAX, numericDigits, pointerPart } from '#json';
import { isValidDto, Problem, validateDto, ValidationErrors, type InputError } from '#http';
import { NewObjectDto, PairDto } from '#objects';
import { batchObject, idMissing, derivedId, type BatchObject, type ObjectPlace } from './batch-object.js';

/** The members of an object that a column may have; the other columns are data. */
const MEMBERS = ['object_id', 'subject', 'observed_at'] as const;
type Member = (typeof MEMBERS)[number];

export interface TableOptions {
  /** The names of the columns of these members. */
  columns: Readonly<Record<Member, string | undefined>>;
  /** Whether cells are numbers, booleans and null where they look like them; otherwise text. */
  isTyped: boolean;
}

/** Columns that an error lists. */
const COLUMNS_SHOWN = 20;

/** A column of data. */
interface DataColumn {
  key: string;
  index: number;
  /** The beginning of its pair, with the key. */
  pairStart: string;
}

/** The columns of CSV, which make objects of its rows. */
export class CsvTable {
  private readonly columns: readonly (string | null)[];
  private readonly headerBytes: number;
  private readonly data: readonly DataColumn[];
  /** The index of the column of each member. */
  private readonly indexes = new Map<Member, number>();

  /** @throws Problem invalid-body for a header with a column without a name, or without a column that the options name */
  constructor(
    header: CsvRow,
    private readonly options: TableOptions,
    pointer: string,
  ) {
    this.columns = header.cells;
    this.headerBytes = header.sizeBytes;
    const errors = this.headerErrors(header, pointer);
    for (const member of MEMBERS) {
      const name = options.columns[member];
      if (name === undefined) continue;
      const index = header.cells.indexOf(name);
      const count = header.cells.filter((cell) => cell === name).length;
      if (count === 1) this.indexes.set(member, index);
      else errors.add({ pointer, detail: `${wrongCount(header.cells, name, count)} (the ${member})` });
    }
    if (errors.count > 0) throw errors.problem('invalid-body');
    const named = new Set(this.indexes.values());
    this.data = header.cells.flatMap((key, index) =>
      key === null || named.has(index) ? [] : { key, index, pairStart: `{"key":${JSON.stringify(key)},"value":` },
    );
  }

  private headerErrors({ cells, invalid }: CsvRow, pointer: string): ValidationErrors {
    const errors = new ValidationErrors();
    if (cells.length > JSON_VALUES_MAX) {
      errors.add({ pointer, detail: `has more than ${String(JSON_VALUES_MAX)} columns` });
    } else if (invalid !== undefined) {
      errors.add({ pointer, detail: `column ${String(invalid.cell + 1)} ${encodingError(invalid.byte)}` });
    } else {
      for (const [index, key] of cells.entries()) {
        const column = `column ${String(index + 1)}`;
        if (hasNull(key)) errors.add({ pointer, detail: `${column} ${NULL_RULE}` });
        for (const { detail } of validateDto(PairDto, { key: key ?? '', value: null }, '').listed) {
          errors.add({ pointer, detail: `${column} ${detail}` });
        }
      }
    }
    return errors;
  }

  /**
   * @param pointer JSON Pointer to the row
   * @throws Problem too-large for an object over `limitBytes`
   */
  objectOf(
    row: CsvRow,
    { position, batchId, index }: ObjectPlace,
    pointer: string,
    limitBytes: number,
  ): BatchObject | ValidationErrors {
    const { cells, invalid } = row;
    const detail = rowLengthError(row, this.columns.length);
    if (detail !== undefined) return new ValidationErrors({ pointer, detail });
    if (invalid !== undefined)
      return new ValidationErrors(this.errorOf(invalid.cell, pointer, encodingError(invalid.byte)));
    const { data, digits } = this.dataOf(cells);
    if (this.headerBytes + row.sizeBytes + digits > limitBytes) throw tooLarge(position, limitBytes);
    const dto = this.membersOf(cells);
    if (!isValidDto(NewObjectDto, dto) || (data.includes('\\u0000') && cells.some(hasNull))) {
      return this.cellErrors(cells, dto, pointer);
    }
    const objectId = dto.object_id ?? derivedId(batchId, index);
    return objectId === null ? idMissing(pointer) : batchObject(position, objectId, dto, data);
  }

  /** The pairs, and the number of digits that PostgreSQL writes for the numbers with an exponent. */
  private dataOf(cells: CsvRow['cells']): { data: string; digits: number } {
    const { isTyped } = this.options;
    let data = '[';
    let digits = 0;
    for (const { index, pairStart } of this.data) {
      const cell = cells[index] ?? null;
      const json = cellJson(cell, isTyped);
      if (json === cell && /\de/i.test(json)) digits += numericDigits(json) ?? 0;
      data += `${data === '[' ? '' : ','}${pairStart}${json}}`;
    }
    return { data: `${data}]`, digits };
  }

  private membersOf(cells: CsvRow['cells']): NewObjectDto {
    const dto: NewObjectDto = { data: [] };
    for (const [member, index] of this.indexes) {
      const cell = cells[index] ?? '';
      // An object without a subject or a time is valid, but an id is never made up where a column has ids.
      if (cell !== '' || member === 'object_id') dto[member] = cell;
    }
    return dto;
  }

  private cellErrors(cells: CsvRow['cells'], dto: NewObjectDto, pointer: string): ValidationErrors {
    const errors = new ValidationErrors();
    for (const [index, cell] of cells.entries()) {
      if (hasNull(cell)) errors.add(this.errorOf(index, pointer, NULL_RULE));
    }
    for (const { detail, ...place } of validateDto(NewObjectDto, dto, '').listed) {
      const member = 'pointer' in place ? place.pointer.slice(1) : '';
      const index = this.indexes.get(member as Member) ?? 0;
      if (!hasNull(cells[index] ?? null)) errors.add(this.errorOf(index, pointer, detail));
    }
    return errors;
  }

  /** The error of a cell, whose detail has the name of the column. */
  private errorOf(index: number, pointer: string, detail: string): InputError {
    const name = this.columns[index] ?? '';
    const member = [...this.indexes].find(([, of]) => of === index)?.[0];
    const path = member === undefined ? `/data${pointerPart(name)}` : `/${member}`;
    return { pointer: pointer + path, detail: `${detail} (column ${JSON.stringify(name)})` };
  }
}

/** What is wrong with a header that has `count` columns of this name, which are none or several. */
function wrongCount(cells: CsvRow['cells'], name: string, count: number): string {
  if (count > 0) return `has ${String(count)} columns "${name}"; give one of them another name`;
  const shown = cells.slice(0, COLUMNS_SHOWN).join(', ');
  return `has no column "${name}"; its columns are ${shown}${cells.length > COLUMNS_SHOWN ? ', …' : ''}`;
}

const NULL_RULE = 'contains U+0000, which cannot be stored';

function hasNull(cell: string | null): boolean {
  return cell?.includes('\0') === true;
}

function tooLarge(line: number, limitBytes: number): Problem {
  const limit = `object_limit_bytes, ${String(limitBytes)} bytes`;
  const detail = `Line ${String(line)}, with the header and with exponents written out, exceeds ${limit}; see /api/v1/limits.`;
  return new Problem('too-large', { detail });
}

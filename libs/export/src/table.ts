import { OBJECT_MEMBERS, type ViewField } from '#objects';
import { textOf, visitPairs } from '#store';
import type { DataColumns, DataType } from './data-columns.js';

const OBJECT_COLUMNS = ['object_id', 'batch_id', 'subject', 'observed_at'] as const;
export type ObjectColumn = (typeof OBJECT_COLUMNS)[number];

/** A column that has a member of the objects, or the values of a key. */
export type TableColumn =
  | { name: string; member: ObjectColumn; keyText?: never; type?: never }
  | { name: string; member?: never; keyText: string; type: DataType };

/** The columns of an export. */
export interface Table {
  columns: readonly TableColumn[];
  /** The index of the column of a key, by the JSON text of the key. */
  indexes: ReadonlyMap<string, number>;
}

const ALL_FIELDS: readonly ViewField[] = OBJECT_MEMBERS.map((member) => ({ member }));

/**
 * @param data the keys that have columns
 * @param fields the columns in order, where `data` means the keys that no other field names; null for all
 */
export function tableOf(data: DataColumns, fields: readonly ViewField[] | null): Table {
  // A column that is named again keeps its first position.
  const byName = new Map<string, TableColumn>();
  const add = (column: TableColumn): unknown => byName.set(column.name, column);
  const types = data.types();
  const otherKeys = new Map(types);
  for (const { key } of fields ?? []) if (key !== undefined) otherKeys.delete(JSON.stringify(key));
  for (const { member, key } of fields ?? ALL_FIELDS) {
    const own = OBJECT_COLUMNS.find((name) => name === member);
    if (own !== undefined) add({ name: own, member: own });
    else if (key === undefined) for (const [keyText, type] of otherKeys) add(keyColumn(keyText, type));
    else add(keyColumn(JSON.stringify(key), types.get(JSON.stringify(key))));
  }
  const columns = [...byName.values()];
  const indexes = new Map<string, number>();
  for (const [index, { keyText }] of columns.entries()) if (keyText !== undefined) indexes.set(keyText, index);
  return { columns, indexes };
}

/** The name is unique: a key that is the name of another column, or looks like one of these, gets a prefix. */
function keyColumn(keyText: string, type: DataType = 'json'): TableColumn {
  const key = textOf(keyText);
  const isTaken = (OBJECT_COLUMNS as readonly string[]).includes(key) || key.startsWith('data.');
  return { name: isTaken ? `data.${key}` : key, keyText, type };
}

/** The JSON text of the value in each column of a key; undefined for a key that the object does not have. */
export function cellsOf(data: string, table: Table): (string | undefined)[] {
  const cells = new Array<string | undefined>(table.columns.length);
  visitCells(data, table, (index, json) => {
    cells[index] = json;
  });
  return cells;
}

/**
 * Calls `visit` once for each key of the object that has a column, with the index of the column and the JSON text of the value: a list of
 * all values for a key that the object repeats.
 */
export function visitCells(data: string, table: Table, visit: (index: number, json: string) => void): void {
  const { columns } = table;
  // Joined once at the end: an object may repeat a key 95,000 times. No key of a column of another type is repeated.
  let lists: Map<number, string[]> | undefined;
  visitPairs(data, (keyText, value) => {
    const index = table.indexes.get(keyText);
    if (index === undefined) return;
    if (columns[index]?.type !== 'json') {
      visit(index, value);
      return;
    }
    lists ??= new Map<number, string[]>();
    const list = lists.get(index);
    if (list === undefined) lists.set(index, [value]);
    else list.push(value);
  });
  for (const [index, list] of lists ?? []) visit(index, list.length === 1 ? String(list[0]) : `[${list.join(', ')}]`);
}

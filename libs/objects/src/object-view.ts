import { KEY_LENGTH_MAX } from '#filter';
import { ChoiceField, type InputPlace, PageQuery, rejectInput, TextField } from '#http';
import { EventLoopYield } from '#platform';
import { dataView } from '#store';
import { IntersectionType } from '@nestjs/swagger';
import { FilterQuery } from './filter.dto.js';

/** The members of an object, and of one inside its batch. */
export const OBJECT_MEMBERS: readonly string[] = ['object_id', 'batch_id', 'subject', 'observed_at', 'data'];
export const NESTED_MEMBERS = OBJECT_MEMBERS.filter((name) => name !== 'batch_id');

const FIELDS_MAX = 100;

/** Which members of objects a response has, and in which form. */
export class ObjectViewQuery {
  @FieldsField()
  fields?: string;

  @DataAsField()
  data_as?: 'pairs' | 'object';
}

/** A page of a filtered list. */
export class ObjectListQuery extends IntersectionType(PageQuery, FilterQuery, ObjectViewQuery) {}

/** A member of objects, or a key of their data. */
export type ViewField = { member: string; key?: never } | { key: string; member?: never };

/** The parsed form of an `ObjectViewQuery`. */
export interface ObjectView {
  /** What `fields` names, in its order; null for all. */
  fields: readonly ViewField[] | null;
  /** Null for all. */
  members: ReadonlySet<string> | null;
  /** The keys of `data`; null for all. */
  keys: ReadonlySet<string> | null;
  /** `data` is a plain object, not a list of pairs. */
  isDataObject: boolean;
}

/** Objects as they are stored. */
export const WHOLE_VIEW: ObjectView = { fields: null, members: null, keys: null, isDataObject: false };

/** @param members those that `fields` may name @throws Problem invalid-query, or invalid-body for a view in a body */
export function viewOf(
  { fields, data_as: dataAs }: ObjectViewQuery,
  members = OBJECT_MEMBERS,
  place: InputPlace = 'query',
): ObjectView {
  if (fields === undefined && dataAs === undefined) return WHOLE_VIEW;
  const isDataObject = dataAs === 'object';
  if (fields === undefined) return { fields: null, members: null, keys: null, isDataObject };
  const parsed = parseFields(fields, members, place);
  const names = new Set<string>();
  const keys = new Set<string>();
  for (const { member, key } of parsed) {
    if (key === undefined) names.add(member);
    else keys.add(key);
  }
  if (names.has('data') || keys.size === 0) return { fields: parsed, members: names, keys: null, isDataObject };
  return { fields: parsed, members: names.add('data'), keys, isDataObject };
}

function parseFields(fields: string, members: readonly string[], place: InputPlace): ViewField[] {
  const items = splitFields(fields);
  if (items.length > FIELDS_MAX)
    rejectInput(place, 'fields', `must have at most ${String(FIELDS_MAX)} fields; got ${String(items.length)}`);
  return items.map((item) => {
    if (item.startsWith('data.')) return { key: parseDataKey(item, 'fields', place) };
    if (members.includes(item)) return { member: item };
    return rejectInput(place, 'fields', `${JSON.stringify(item)} must be one of ${members.join(', ')} or data.<key>`);
  });
}

/** The JSON text of an object's members that a view contains. */
export function viewedText(members: readonly (readonly [name: string, text: string])[], view: ObjectView): string {
  const { members: names, keys, isDataObject } = view;
  const texts: string[] = [];
  for (const [name, text] of members) {
    if (names?.has(name) === false) continue;
    const shown = name === 'data' && (keys !== null || isDataObject) ? dataView(text, keys, isDataObject) : text;
    texts.push(`"${name}":${shown}`);
  }
  return `{${texts.join()}}`;
}

/**
 * The JSON texts of objects in a view. A page of large objects takes a second to convert, so that other requests are served in
 * between.
 * @param textOf writes one object
 */
export async function viewedTexts<Row>(
  rows: readonly Row[],
  textOf: (row: Row, view: ObjectView) => string,
  view: ObjectView,
  projectId: number,
): Promise<string[]> {
  if (view === WHOLE_VIEW) return rows.map((row) => textOf(row, view));
  const turns = new EventLoopYield(projectId);
  const texts: string[] = [];
  for (const row of rows) {
    texts.push(textOf(row, view));
    if (turns.isDue) await turns.yield();
  }
  return texts;
}

/** The items of a list; a quoted key may contain commas. */
function splitFields(fields: string): string[] {
  return Array.from(fields.matchAll(/(data\."(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)/gy), ([, item = '']) => item).slice(
    0,
    fields.endsWith(',') ? undefined : -1,
  );
}

/** The key of `data.<key>`, where the key may be a JSON string. @throws Problem invalid-query or invalid-body for the parameter */
export function parseDataKey(item: string, parameter: string, place: InputPlace): string {
  const text = item.slice('data.'.length);
  const key = text.startsWith('"') ? parseQuoted(text) : text;
  if (key === undefined) rejectInput(place, parameter, `${item} has a quoted key that is not a JSON string`);
  if (!key.isWellFormed() || key.includes('\0'))
    rejectInput(place, parameter, 'must have a key without U+0000 and lone surrogates');
  const length = [...key].length;
  if (length >= 1 && length <= KEY_LENGTH_MAX) return key;
  const rule = parameter === 'fields' ? 'must have keys' : 'must have a key';
  rejectInput(place, parameter, `${rule} of 1 to ${String(KEY_LENGTH_MAX)} characters; got ${String(length)}`);
}

function parseQuoted(text: string): string | undefined {
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

function FieldsField(): PropertyDecorator {
  return TextField({
    optional: true,
    min: 1,
    max: 30_000,
    description:
      'The members and keys of data in the response, separated by commas: `object_id,data.type`. A key with a comma or a quote is written as a JSON string: `data."a,b"`.',
  });
}

function DataAsField(): PropertyDecorator {
  return ChoiceField({
    optional: true,
    choices: ['pairs', 'object'],
    description:
      '`object`: data as a plain object, where a repeated key has a list of its values. Default: `pairs`, a list that keeps the order and repeated keys.',
  });
}

import { findMember, isObject, pointerPart, skipSpace } from '#json';
import { ValidationErrors, Problem, type JsonBody } from '#http';
import type { ObjectRow } from '#store';
import { itemsOf, parseEach, requireItemCount, type InputItem, type Parsed } from './feed-input.js';

/** Typed items that are the objects of one batch. Clients may choose their ids, and send them one by one or as a file. */
export interface TypedCollection {
  /** The id of the batch, the member that lists the items of a file, and the path below /api/v1. */
  name: string;
  /** The singular, for error messages. */
  singular: string;
  /** The path parameter that holds the id of an item. */
  idParam: string;
  /** A key that every item has; lists filter by it. */
  key: string;
  /** Validates an item and converts it to `data`, a JSON list of pairs. */
  toObject(item: InputItem): Parsed<string>;
  /** The JSON of the item that an object stores; undefined for an object of another shape. */
  fromObject(object: Pick<ObjectRow, 'object_id' | 'data'>): string | undefined;
}

/** An item to be stored. */
export interface CollectionItem {
  /** JSON Pointer into the body. */
  pointer: string;
  /** The id that the client chose; undefined where it chose none. */
  givenId: string | undefined;
  data: string;
}

/**
 * Parses a body that is one item, or a file of items; `list` is the text of the file's list.
 * @throws Problem malformed-request, invalid-body, or too-large
 */
export async function parseItems(
  collection: TypedCollection,
  body: JsonBody,
  limitBytes: number,
): Promise<{ items: CollectionItem[]; list?: string }> {
  const { name } = collection;
  const { text, value } = body.read();
  const start = skipSpace(text, 0);
  if (!isObject(value) || !Object.hasOwn(value, name)) {
    return { items: await parseAll(collection, [{ value, text, start, pointer: '' }], limitBytes) };
  }
  const list = value[name];
  const errors = new ValidationErrors();
  for (const member of Object.keys(value)) {
    if (member === name) continue;
    errors.add({
      pointer: pointerPart(member),
      detail: `is not a member of this body; the only member of a file is ${name}`,
    });
  }
  if (!Array.isArray(list)) errors.add({ pointer: `/${name}`, detail: `must be a list of ${name}` });
  if (errors.count > 0 || !Array.isArray(list)) throw errors.problem('invalid-body');
  requireItemCount(list.length, `/${name}`, name);
  const span = findMember(text, start, name).value ?? { start, end: start };
  const items = itemsOf(list, { text, start: span.start, pointer: `/${name}` });
  return { items: await parseAll(collection, items, limitBytes), list: text.slice(span.start, span.end) };
}

/** Parses a body that is one item. @throws Problem malformed-request, invalid-body, or too-large */
export async function parseItem(
  collection: TypedCollection,
  body: JsonBody,
  limitBytes: number,
): Promise<CollectionItem> {
  const { text, value } = body.read();
  const [item] = await parseAll(collection, [{ value, text, start: skipSpace(text, 0), pointer: '' }], limitBytes);
  if (item === undefined) throw new Error('a body without an item');
  return item;
}

async function parseAll(
  collection: TypedCollection,
  items: Iterable<InputItem>,
  limitBytes: number,
): Promise<CollectionItem[]> {
  let length = 0;
  return parseEach(items, (item) => {
    const parsed = collection.toObject(item);
    if ('errors' in parsed) return parsed;
    // The pairs, which the database receives, may be longer than the item as sent.
    length += parsed.value.length;
    if (length > limitBytes) throw tooLarge(collection, limitBytes);
    return { value: { pointer: item.pointer, givenId: (item.value as { id?: string }).id, data: parsed.value } };
  });
}

function tooLarge({ name }: TypedCollection, limitBytes: number): Problem {
  const limit = `BODY_LIMIT_BYTES, ${String(limitBytes)} bytes; see /api/v1/limits`;
  return new Problem('too-large', { detail: `Stored as pairs, these ${name} exceed ${limit}.` });
}

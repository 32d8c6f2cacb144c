import { isObject, pointerPart } from '#json';
import { findList, ValidationErrors, Problem, type JsonBody, type JsonList } from '#http';
import type { ObjectRow } from '#store';
import {
  feedListLimit,
  itemsOf,
  parseEach,
  readItem,
  type InputItem,
  type InputItems,
  type Parsed,
} from './feed-input.js';

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
 * Parses a body that is one item, or a file of items; `list` is the file's list.
 * @throws Problem malformed-request, invalid-body, or too-large
 */
export async function parseItems(
  collection: TypedCollection,
  body: JsonBody,
  limitBytes: number,
): Promise<{ items: CollectionItem[]; list: JsonList | null }> {
  const { name } = collection;
  const list = await findList(body, name, feedListLimit(name));
  const item = readItem(list === null ? body : list.rest);
  if (!isObject(item.value) || !Object.hasOwn(item.value, name)) {
    return {
      items: await parseAll(collection, { items: [item], count: 1, projectId: body.projectId }, limitBytes),
      list,
    };
  }
  const errors = new ValidationErrors();
  for (const member of Object.keys(item.value)) {
    if (member === name) continue;
    errors.add({
      pointer: pointerPart(member),
      detail: `is not a member of this body; the only member of a file is ${name}`,
    });
  }
  if (list === null) errors.add({ pointer: `/${name}`, detail: `must be a list of ${name}` });
  if (errors.count > 0 || list === null) throw errors.problem('invalid-body');
  return { items: await parseAll(collection, itemsOf(list, `/${name}`, name), limitBytes), list };
}

/** Parses a body that is one item. @throws Problem malformed-request, invalid-body, or too-large */
export async function parseItem(
  collection: TypedCollection,
  body: JsonBody,
  limitBytes: number,
): Promise<CollectionItem> {
  const [item] = await parseAll(
    collection,
    { items: [readItem(body)], count: 1, projectId: body.projectId },
    limitBytes,
  );
  if (item === undefined) throw new Error('a body without an item');
  return item;
}

async function parseAll(collection: TypedCollection, items: InputItems, limitBytes: number): Promise<CollectionItem[]> {
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

import { elementsOf, skipSpace } from '#json';
import { ValidationErrors, Problem, type JsonBody } from '#http';
import { EventLoopYield } from './event-loop-yield.js';

/** The most items in one request, as /limits shows; validating a list in which every item is invalid takes half a second. */
export const FEED_LIST_MAX = 10_000;

/** One item of a request body. */
export interface InputItem {
  value: unknown;
  /** The text of the whole body, from which numbers are cut with every digit. The item begins at `start`. */
  text: string;
  start: number;
  /** JSON Pointer to the item. */
  pointer: string;
}

/** An item after validation: the converted value, or its errors. */
export type Parsed<T> = { value: T } | { errors: ValidationErrors };

/** The items of a body that is one item or a list of items. */
export interface InputItems {
  items: Iterable<InputItem>;
  count: number;
  isList: boolean;
}

/**
 * Reads a body that is one item or a list of items.
 * @param plural the plural of the items' name, for error messages
 * @throws Problem malformed-request; invalid-body for an empty list; too-large
 */
export function readItems(body: JsonBody, plural: string): InputItems {
  const { value, text } = body.read();
  const whole = { text, start: skipSpace(text, 0), pointer: '' };
  if (!Array.isArray(value)) return { items: [{ value, ...whole }], count: 1, isList: false };
  requireItemCount(value.length, '', plural);
  return { items: itemsOf(value, whole), count: value.length, isList: true };
}

/** The items of a list whose text begins at `start`. */
export function* itemsOf(
  list: readonly unknown[],
  { text, start, pointer }: Omit<InputItem, 'value'>,
): Generator<InputItem> {
  let index = 0;
  for (const element of elementsOf(text, start)) {
    yield { value: list[index], text, start: element.start, pointer: `${pointer}/${String(index)}` };
    index++;
  }
}

/** Parses each item, and yields to the event loop in between. @throws Problem invalid-body with the errors of all items */
export async function parseEach<T>(
  items: Iterable<InputItem>,
  parse: (item: InputItem, index: number) => Parsed<T>,
): Promise<T[]> {
  const errors = new ValidationErrors();
  const values: T[] = [];
  let index = 0;
  const pause = new EventLoopYield();
  for (const item of items) {
    if (pause.isDue) await pause.yield();
    const parsed = parse(item, index++);
    if ('errors' in parsed) errors.addAll(parsed.errors);
    else if (errors.count === 0) values.push(parsed.value);
  }
  if (errors.count > 0) throw errors.problem('invalid-body');
  return values;
}

/**
 * @param pointer JSON Pointer to the list
 * @throws Problem invalid-body for an empty list; too-large for more than FEED_LIST_MAX items
 */
export function requireItemCount(count: number, pointer: string, plural: string): void {
  if (count === 0)
    throw new ValidationErrors({ pointer, detail: `must have 1 to ${String(FEED_LIST_MAX)} ${plural}` }).problem(
      'invalid-body',
    );
  if (count <= FEED_LIST_MAX) return;
  const limit = `the maximum is ${String(FEED_LIST_MAX)} (feed_list_max, see /api/v1/limits)`;
  throw new Problem('too-large', { detail: `The list has ${String(count)} ${plural}; ${limit}.` });
}

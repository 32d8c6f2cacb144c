import { endOfValue, skipSpace } from '#json';
import { JsonBody, partErrors, Problem, setObjectsRead, ValidationErrors, type JsonList, type ListLimit } from '#http';
import { EventLoopYield } from '#platform';

/** The most items in one request, as /limits shows. */
export const FEED_LIST_MAX = 10_000;

/** @param plural the plural of the items' name */
export function feedListLimit(plural: string): ListLimit {
  return { max: FEED_LIST_MAX, name: 'feed_list_max', plural };
}

/** One item of a request body. */
export interface InputItem {
  value: unknown;
  /** A text from which numbers are cut with every digit. The item begins at `start`. */
  text: string;
  start: number;
  /** JSON Pointer to the item. */
  pointer: string;
}

/** An item after validation: the converted value, or its errors. */
export type Parsed<T> = { value: T } | { errors: ValidationErrors };

/** The items of a body, one or those of its list. They are parsed while they are iterated. */
export interface InputItems {
  /** Errors in place of an item that cannot be stored. */
  items: Iterable<InputItem | ValidationErrors>;
  count: number;
  /** The project that sent them. */
  projectId: number | null;
}

/** A body that is one item. @throws Problem malformed-request, invalid-body, too-large */
export function readItem(body: JsonBody): InputItem {
  const { value, text } = body.read();
  return { value, text, start: skipSpace(text, 0), pointer: '' };
}

/**
 * The items of a list.
 * @param pointer JSON Pointer to the list
 * @param plural the plural of the items' name, for error messages
 * @throws Problem invalid-body for an empty list. Iterating throws malformed-request, too-large
 */
export function itemsOf(list: JsonList, pointer: string, plural: string): InputItems {
  const { count } = list;
  if (count === 0)
    throw new ValidationErrors({ pointer, detail: `must have 1 to ${String(FEED_LIST_MAX)} ${plural}` }).problem(
      'invalid-body',
    );
  return { items: parsedElements(list, pointer), count, projectId: list.body.projectId };
}

/** @throws Problem malformed-request, too-large */
function* parsedElements(list: JsonList, pointer: string): Generator<InputItem | ValidationErrors> {
  let index = 0;
  let expandedLength = 0;
  for (const chunk of list.chunks) {
    const text = list.textOf(chunk);
    const values = list.parse(text);
    let at = 0;
    for (let offset = 0; at < text.length; offset++) {
      const start = at;
      const end = endOfValue(text, start);
      at = skipSpace(text, skipSpace(text, end) + 1);
      const place = `${pointer}/${String(index++)}`;
      if (values !== null) {
        yield { value: values[offset], text, start, pointer: place };
        continue;
      }
      // The limit applies to the whole body, not to one item.
      const part = new JsonBody(Buffer.from(text.slice(start, end)), Infinity);
      yield readPart(part, place, list.body);
      expandedLength += part.expandedLength;
      if (expandedLength > 0) list.body.requireExpandedLength(expandedLength);
    }
  }
}

/** @throws Problem malformed-request */
function readPart(part: JsonBody, pointer: string, whole: JsonBody): InputItem | ValidationErrors {
  try {
    return { ...part.read(), start: 0, pointer };
  } catch (error) {
    if (error instanceof Problem) return partErrors(error, pointer, whole);
    throw error;
  }
}

/** Parses each item, and yields to the event loop in between. @throws Problem invalid-body with the first errors */
export async function parseEach<T>(
  { items, count, projectId }: InputItems,
  parse: (item: InputItem, index: number) => Parsed<T>,
): Promise<T[]> {
  const errors = new ValidationErrors();
  const values: T[] = [];
  let index = 0;
  const pause = new EventLoopYield(projectId);
  for (const item of items) {
    if (pause.isDue) await pause.yield();
    const parsed = item instanceof ValidationErrors ? { errors: item } : parse(item, index);
    index++;
    if ('errors' in parsed) errors.addAll(parsed.errors);
    else if (errors.count === 0) values.push(parsed.value);
    if (errors.isFull) break;
  }
  errors.isCountMinimum = index < count;
  if (errors.count > 0) {
    const problem = errors.problem('invalid-body');
    setObjectsRead(problem, index);
    throw problem;
  }
  return values;
}

import { createHash } from 'node:crypto';
import { elementsOf, findMember, pointerPart, skipSpace } from '#json';
import { countOf, Problem, type InputError, type JsonBody } from '#platform';
import { isObject, type Kind } from './thing.js';

/** In one file. */
const THINGS_MAX = 10_000;

/** A factory or a sprocket that is to be stored. */
export interface Thing {
  /** Where it stands in the body. */
  pointer: string;
  /** As it was sent; undefined where none was. */
  givenId: string | undefined;
  data: string;
}

/** What a body holds, checked. */
export interface Incoming {
  things: Thing[];
  /** Of a file: a digest of its content, so that the same file again has the same. */
  digest: string | undefined;
}

/** One, or a file of them. @throws Problem malformed-request, invalid-body, or too-large */
export function readThings(kind: Kind, body: JsonBody, limitBytes: number): Incoming {
  const { text, value } = body.read();
  const start = skipSpace(text, 0);
  if (!isObject(value) || !Object.hasOwn(value, kind.name)) {
    return { things: thingsOf(kind, text, [{ value, start, pointer: '' }], limitBytes), digest: undefined };
  }
  const list = value[kind.name];
  const mistakes = Object.keys(value)
    .filter((name) => name !== kind.name)
    .map((name) => ({ pointer: pointerPart(name), detail: 'is not a member of this body' }));
  if (!Array.isArray(list) || list.length === 0 || list.length > THINGS_MAX) {
    const detail = `must be a list of 1 to ${String(THINGS_MAX)} ${kind.name}`;
    refuse([...mistakes, { pointer: `/${kind.name}`, detail }]);
  }
  if (mistakes.length > 0) refuse(mistakes);
  const span = findMember(text, start, kind.name).value ?? { start, end: start };
  const elements = Array.from(elementsOf(text, span.start), (one, index) => ({
    value: list[index] as unknown,
    start: one.start,
    pointer: `/${kind.name}/${String(index)}`,
  }));
  return { things: thingsOf(kind, text, elements, limitBytes), digest: digestOf(text.slice(span.start, span.end)) };
}

/** One, and no file of them. @throws Problem as readThings */
export function readThing(kind: Kind, body: JsonBody, limitBytes: number): Thing {
  const { text, value } = body.read();
  const [thing] = thingsOf(kind, text, [{ value, start: skipSpace(text, 0), pointer: '' }], limitBytes);
  if (thing === undefined) throw new Error('a body came to nothing');
  return thing;
}

interface Element {
  value: unknown;
  start: number;
  pointer: string;
}

function thingsOf(kind: Kind, text: string, elements: readonly Element[], limitBytes: number): Thing[] {
  const mistakes: InputError[] = [];
  const things: Thing[] = [];
  let length = 0;
  for (const { value, start, pointer } of elements) {
    const made = kind.toObject(value, text, start, pointer);
    if ('mistakes' in made) mistakes.push(...made.mistakes);
    else {
      // As pairs they take more room than as series, and it is as pairs that they go to the database.
      length += made.data.length;
      if (length > limitBytes) refuseLength(kind, limitBytes);
      things.push({ pointer, givenId: (value as { id?: string }).id, data: made.data });
    }
  }
  if (mistakes.length > 0) refuse(mistakes);
  return things;
}

function refuse(errors: InputError[]): never {
  throw new Problem('invalid-body', { detail: countOf(errors.length), errors });
}

function refuseLength(kind: Kind, limitBytes: number): never {
  const limit = `BODY_LIMIT_BYTES, ${String(limitBytes)} bytes; see /api/v1/limits`;
  throw new Problem('too-large', { detail: `Written out as pairs, these ${kind.name} pass ${limit}.` });
}

/** Of the text without the white space that means nothing; 128 bits are enough never to meet by chance. */
function digestOf(list: string): string {
  const compact = list.replace(/("[^"\\]*(?:\\.[^"\\]*)*")|\s+/g, '$1');
  return createHash('sha256').update(compact).digest('hex').slice(0, 32);
}

import { findMember, isObject, pointerPart, skipSpace } from '#json';
import { ValidationErrors, Problem, type JsonBody } from '#http';
import { makeEach, refuseCount, sentIn, type Made, type Sent } from './feed-body.js';
import type { ObjectRow } from '#store';

/** Things of one kind, each an object of one batch: with ids that may be given, sent one by one or as a file of them. */
export interface Kind {
  /** The batch that they are in, the member that lists them in a file, and their address. */
  name: string;
  /** One of them, in words. */
  one: string;
  /** The parameter of an address that is the id of one. */
  param: string;
  /** A key that each of them has. */
  key: string;
  /** The `data` of one as it was sent, a list of pairs. */
  toObject(sent: Sent): Made<string>;
  /** The JSON of one as it is read; undefined for an object that is none. */
  fromObject(object: Pick<ObjectRow, 'object_id' | 'data'>): string | undefined;
}

/** One that is to be stored. */
export interface Thing {
  /** Where it stands in the body. */
  pointer: string;
  /** As it was sent; undefined where none was. */
  givenId: string | undefined;
  data: string;
}

/** One, or a file of them, whose list's text comes with it. @throws Problem malformed-request, invalid-body, or too-large */
export async function readThings(
  kind: Kind,
  body: JsonBody,
  limitBytes: number,
): Promise<{ things: Thing[]; list?: string }> {
  const { text, value } = body.read();
  const start = skipSpace(text, 0);
  if (!isObject(value) || !Object.hasOwn(value, kind.name)) {
    return { things: await thingsOf(kind, [{ value, text, start, pointer: '' }], limitBytes) };
  }
  const list = value[kind.name];
  const mistakes = new ValidationErrors();
  for (const name of Object.keys(value))
    if (name !== kind.name) mistakes.add({ pointer: pointerPart(name), detail: 'is not a member of this body' });
  if (!Array.isArray(list)) mistakes.add({ pointer: `/${kind.name}`, detail: `must be a list of ${kind.name}` });
  if (mistakes.count > 0 || !Array.isArray(list)) throw mistakes.problem('invalid-body');
  refuseCount(list.length, `/${kind.name}`, kind.name);
  const span = findMember(text, start, kind.name).value ?? { start, end: start };
  const sent = sentIn(list, { text, start: span.start, pointer: `/${kind.name}` });
  return { things: await thingsOf(kind, sent, limitBytes), list: text.slice(span.start, span.end) };
}

/** One, and no file of them. @throws Problem as readThings */
export async function readThing(kind: Kind, body: JsonBody, limitBytes: number): Promise<Thing> {
  const { text, value } = body.read();
  const [thing] = await thingsOf(kind, [{ value, text, start: skipSpace(text, 0), pointer: '' }], limitBytes);
  if (thing === undefined) throw new Error('a body came to nothing');
  return thing;
}

async function thingsOf(kind: Kind, sent: Iterable<Sent>, limitBytes: number): Promise<Thing[]> {
  let length = 0;
  return makeEach(sent, (one) => {
    const made = kind.toObject(one);
    if ('mistakes' in made) return made;
    // As pairs they may take more room than as they were sent, and it is as pairs that they go to the database.
    length += made.made.length;
    if (length > limitBytes) throw tooLong(kind, limitBytes);
    return { made: { pointer: one.pointer, givenId: (one.value as { id?: string }).id, data: made.made } };
  });
}

function tooLong(kind: Kind, limitBytes: number): Problem {
  const limit = `BODY_LIMIT_BYTES, ${String(limitBytes)} bytes; see /api/v1/limits`;
  return new Problem('too-large', { detail: `Written out as pairs, these ${kind.name} pass ${limit}.` });
}

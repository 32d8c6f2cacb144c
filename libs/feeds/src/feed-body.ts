import { elementsOf, skipSpace } from '#json';
import { ValidationErrors, Problem, type JsonBody } from '#http';
import { Pause } from './pause.js';

/** The most things in one request, as /limits says; half a second where all of them are wrong. */
export const FEED_LIST_MAX = 10_000;

/** One thing that a body holds, and where. */
export interface Sent {
  value: unknown;
  /** The whole body, from which numbers are cut to the letter; the thing stands there at `start`. */
  text: string;
  start: number;
  pointer: string;
}

/** What a thing was made into, or why it cannot be. */
export type Made<T> = { made: T } | { mistakes: ValidationErrors };

/** What a body holds that is one thing, or a list of them. */
export interface OneOrMany {
  sent: Iterable<Sent>;
  count: number;
  isList: boolean;
}

/** @throws Problem malformed-request; invalid-body for an empty list; too-large @param things what they are, in words */
export function oneOrMany(body: JsonBody, things: string): OneOrMany {
  const { value, text } = body.read();
  const whole = { text, start: skipSpace(text, 0), pointer: '' };
  if (!Array.isArray(value)) return { sent: [{ value, ...whole }], count: 1, isList: false };
  refuseCount(value.length, '', things);
  return { sent: sentIn(value, whole), count: value.length, isList: true };
}

/** The things of a list that stands in a body at `start`. */
export function* sentIn(list: readonly unknown[], { text, start, pointer }: Omit<Sent, 'value'>): Generator<Sent> {
  let place = 0;
  for (const element of elementsOf(text, start)) {
    yield { value: list[place], text, start: element.start, pointer: `${pointer}/${String(place)}` };
    place++;
  }
}

/** Makes something of each, while the event loop lives. @throws Problem invalid-body with the mistakes of all of them */
export async function makeEach<T>(things: Iterable<Sent>, make: (sent: Sent, place: number) => Made<T>): Promise<T[]> {
  const mistakes = new ValidationErrors();
  const all: T[] = [];
  let place = 0;
  const pause = new Pause();
  for (const sent of things) {
    if (pause.isDue) await pause.take();
    const one = make(sent, place++);
    if ('mistakes' in one) mistakes.addAll(one.mistakes);
    else if (mistakes.count === 0) all.push(one.made);
  }
  if (mistakes.count > 0) throw mistakes.problem('invalid-body');
  return all;
}

/** @throws Problem invalid-body for none; too-large for more than FEED_LIST_MAX @param pointer where the list is */
export function refuseCount(count: number, pointer: string, things: string): void {
  if (count === 0)
    throw new ValidationErrors({ pointer, detail: `must have one of the ${things} at least` }).problem('invalid-body');
  if (count <= FEED_LIST_MAX) return;
  const limit = `feed_list_max is ${String(FEED_LIST_MAX)}, see /api/v1/limits`;
  throw new Problem('too-large', { detail: `The list has ${String(count)} ${things}; ${limit}.` });
}

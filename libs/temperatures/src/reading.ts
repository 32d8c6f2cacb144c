import { Problem } from '#http';
import { ID_RULE, isId } from '#platform';
import { dataOf, pairsOf, type NewObjectRow } from '#store';
import { idOf } from '#feeds';
import type { ObjectRow } from '#store';

/** A room as the address names it. */
export interface Room {
  building: string;
  room: string;
  /** What its readings are about: both names, `%` and `/` in them percent-encoded. */
  subject: string;
}

/** The parameters of an address. */
export type Names = Pick<Room, 'building' | 'room'>;

export interface Reading {
  /** A JSON number, to the last digit. */
  temperature: string;
  /** As PostgreSQL tells it. */
  recordedAt: string;
  /** Of one that came without a time: what tells it from all others of the same microsecond, in this process or another. */
  arrival?: string | undefined;
}

/** @throws Problem invalid-path for names that cannot be ids, or are too long together */
export function roomOf({ building, room }: Names): Room {
  for (const [name, value] of Object.entries({ building, room })) {
    if (!isId(value)) throw new Problem('invalid-path', { detail: `The name of a ${name} ${ID_RULE}.` });
  }
  const subject = `${escaped(building)}/${escaped(room)}`;
  if (isId(subject)) return { building, room, subject };
  const detail = 'The names of building and room must have at most 254 characters together, / and % counted as three.';
  throw new Problem('invalid-path', { detail });
}

function escaped(name: string): string {
  return name.replaceAll('%', '%25').replaceAll('/', '%2F');
}

/** The same room and time give the same id. One that came without a time takes nobody's place. */
export function toObject(
  { building, room, subject }: Room,
  { temperature, recordedAt, arrival }: Reading,
): NewObjectRow {
  const data = dataOf([
    ['building', JSON.stringify(building)],
    ['room', JSON.stringify(room)],
    ['temperature', temperature],
  ]);
  const identity = arrival === undefined ? [recordedAt] : [recordedAt, arrival];
  return { objectId: idOf('temperature', building, room, ...identity), subject, observedAt: recordedAt, data };
}

/** Of an object about a room: what the average counts, so whatever has a number; undefined for any other. */
export function fromObject({ data, observed_at }: Pick<ObjectRow, 'data' | 'observed_at'>): Reading | undefined {
  const pair = pairsOf(data).find(({ key, valueText }) => key === 'temperature' && /^[-\d]/.test(valueText));
  return pair && { temperature: pair.valueText, recordedAt: observed_at };
}

export function readingText({ building, room }: Names, { temperature, recordedAt }: Reading): string {
  const names = JSON.stringify({ building, room }).slice(0, -1);
  return `${names},"temperature":${temperature},"recorded_at":"${recordedAt}"}`;
}

import { Problem } from '#http';
import { ID_RULE, isId, isSubject } from '#platform';
import { dataOf, MEASURED_KEY, type NewObjectRow, type ObjectRow, pairsOf } from '#store';
import { contentId } from '#feeds';

/** A room. */
export interface Room {
  building: string;
  room: string;
  /** The subject of its readings: `building/room`, with `%` and `/` in the names percent-encoded. */
  subject: string;
}

/** The path parameters of the routes of a room. */
export type RoomParams = Pick<Room, 'building' | 'room'>;

export interface Reading {
  /** A JSON number with every digit. */
  temperature: string;
  /** RFC 3339 in UTC. */
  recordedAt: string;
  /** For a reading sent without a time: distinguishes it from all others of the same microsecond, in any process. */
  nonce?: string | undefined;
}

/** @throws Problem invalid-path for names that are not valid ids, or are too long together */
export function roomOf({ building, room }: RoomParams): Room {
  for (const [name, value] of Object.entries({ building, room })) {
    if (!isId(value)) throw new Problem('invalid-path', { detail: `The name of a ${name} ${ID_RULE}.` });
  }
  const subject = `${escaped(building)}/${escaped(room)}`;
  if (isSubject(subject)) return { building, room, subject };
  const detail = 'The names of building and room must have at most 254 characters together, / and % counted as three.';
  throw new Problem('invalid-path', { detail });
}

function escaped(name: string): string {
  return name.replaceAll('%', '%25').replaceAll('/', '%2F');
}

export const READING_KEYS = ['building', 'room', MEASURED_KEY] as const;

/** The same room and time give the same id. A reading sent without a time replaces no other. */
export function toObject({ building, room, subject }: Room, { temperature, recordedAt, nonce }: Reading): NewObjectRow {
  const data = dataOf([
    ['building', JSON.stringify(building)],
    ['room', JSON.stringify(room)],
    ['temperature', temperature],
  ]);
  const identity = nonce === undefined ? [recordedAt] : [recordedAt, nonce];
  return { objectId: contentId('temperature', building, room, ...identity), subject, observedAt: recordedAt, data };
}

/** The reading that an object about a room stores; undefined for an object without a number, which averages ignore too. */
export function fromObject({ data, observed_at }: Pick<ObjectRow, 'data' | 'observed_at'>): Reading | undefined {
  const pair = pairsOf(data).find(({ key, valueText }) => key === 'temperature' && /^[-\d]/.test(valueText));
  return pair && { temperature: pair.valueText, recordedAt: observed_at };
}

export function readingText({ building, room }: RoomParams, { temperature, recordedAt }: Reading): string {
  const names = JSON.stringify({ building, room }).slice(0, -1);
  return `${names},"temperature":${temperature},"recorded_at":"${recordedAt}"}`;
}

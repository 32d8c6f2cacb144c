import { Problem } from '#http';
import { ID_RULE, isId } from '#platform';
import { dataOf, valueIn, type NewObjectRow } from '#store';
import { idOf } from '#feeds';
import type { ObjectRow } from '#store';

/** So many people went through a door in the hour that began at `at`. */
export interface Visit {
  door: string;
  /** As PostgreSQL tells it. */
  at: string;
  people: number;
}

/** The name as it stands in the address. @throws Problem invalid-path for one that cannot be a subject */
export function doorOf(name: string): string {
  if (isId(name)) return name;
  throw new Problem('invalid-path', { detail: `The name of a door ${ID_RULE}.` });
}

/** The same door and hour are the same object, however often they are sent. */
export function toObject({ door, at, people }: Visit): NewObjectRow {
  return {
    objectId: idOf('visit', door, at),
    subject: door,
    observedAt: at,
    data: dataOf([['people', String(people)]]),
  };
}

/** Undefined for an object about a door that is no visit: others may post what they like about it. */
export function fromObject({ subject, observed_at, data }: ObjectRow): Visit | undefined {
  const people = valueIn(data, 'people');
  return subject === null || typeof people !== 'number' ? undefined : { door: subject, at: observed_at, people };
}

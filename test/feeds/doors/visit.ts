import { Problem } from '#http';
import { ID_RULE, isId } from '#platform';
import { dataOf, type NewObjectRow, type ObjectRow, valueIn } from '#store';
import { contentId } from '#feeds';

/** The number of people who went through a door in the hour that starts at `at`. */
export interface Visit {
  door: string;
  /** RFC 3339 in UTC. */
  at: string;
  people: number;
}

/** The name of a door in the path. @throws Problem invalid-path for a name that is not a valid id */
export function requireDoor(name: string): string {
  if (isId(name)) return name;
  throw new Problem('invalid-path', { detail: `The name of a door ${ID_RULE}.` });
}

/** The id is derived from door and hour, so that a visit sent again replaces the first. */
export function toObject({ door, at, people }: Visit): NewObjectRow {
  return {
    objectId: contentId('visit', door, at),
    subject: door,
    observedAt: at,
    data: dataOf([['people', String(people)]]),
  };
}

/** Undefined for an object about a door that is not a visit; other routes can store any object. */
export function fromObject({ subject, observed_at, data }: ObjectRow): Visit | undefined {
  const people = valueIn(data, 'people');
  return subject === null || typeof people !== 'number' ? undefined : { door: subject, at: observed_at, people };
}

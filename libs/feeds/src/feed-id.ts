import { hash } from 'node:crypto';
import { utcFromMicros } from '#platform';

/** The id of an object that is known by these parts: the same ones give the same id, and no two lists of parts share one. */
export function idOf(prefix: string, ...parts: readonly unknown[]): string {
  return `${prefix}-${hash('sha256', JSON.stringify(parts), 'base64url').slice(0, 32)}`;
}

/** The batch for all objects that a feed receives on one UTC day, so that a day can be read and deleted by itself. */
export function batchOfDay(prefix: string, receivedAtMicros: number): string {
  return `${prefix}-${utcFromMicros(receivedAtMicros).slice(0, 10)}`;
}

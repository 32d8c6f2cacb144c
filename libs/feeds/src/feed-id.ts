import { hash } from 'node:crypto';
import type { Arrival } from '#jobs';
import { utcFromMicros } from '#platform';

/** The id of an object that is known by these parts: the same ones give the same id, and no two lists of parts share one. */
export function idOf(prefix: string, ...parts: readonly unknown[]): string {
  return `${prefix}-${hash('sha256', JSON.stringify(parts), 'base64url').slice(0, 32)}`;
}

/** The batch that a feed fills on the day on which something arrives, so that a day can be read and deleted by itself. */
export function batchOfDay(prefix: string, { at }: Pick<Arrival, 'at'>): string {
  return `${prefix}-${utcFromMicros(at).slice(0, 10)}`;
}

import { createHash } from 'node:crypto';

/** The id of an object that is known by these parts: the same ones give the same id, and no two lists of parts share one. */
export function idOf(prefix: string, ...parts: readonly unknown[]): string {
  return `${prefix}-${createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 32)}`;
}

import { hash } from 'node:crypto';
import { utcFromMicros } from '#platform';

/** An object id derived from its content: equal parts give equal ids, different parts different ones (192 bits of SHA-256). */
export function contentId(prefix: string, ...parts: readonly unknown[]): string {
  return `${prefix}-${hash('sha256', JSON.stringify(parts), 'base64url').slice(0, 32)}`;
}

/** The batch for all objects that a feed receives on one UTC day, so that a day can be read and deleted by itself. */
export function dailyBatchId(prefix: string, receivedAtMicros: number): string {
  return `${prefix}-${utcFromMicros(receivedAtMicros).slice(0, 10)}`;
}

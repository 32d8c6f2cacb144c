import { VALUE_DEPTH_MAX } from '#json';
import type { ValueFilter } from './filter.js';

/** Where a value may be: the key of a pair, null for any, and the names of members inside its value. */
export interface KeyPath {
  key: string | null;
  members: readonly string[];
}

/** Of a key of an object, in characters. */
export const KEY_LENGTH_MAX = 255;

/**
 * The paths that a filter's key stands for. `owner.city` is the key `owner.city`, and the member `city` inside the key
 * `owner`; a key with more dots is split at each of them. On the way, the elements of an array are searched as well. Paths to
 * values that cannot be stored are omitted: they are deeper than values nest, or their key is empty or too long.
 */
export function keyPaths({ key, isLiteral }: Pick<ValueFilter, 'key' | 'isLiteral'>): KeyPath[] {
  if (key === null) return [{ key, members: [] }];
  const segments = isLiteral ? [key] : key.split('.');
  const paths: KeyPath[] = [];
  // Such a key has a dot for each character of the longest key, and a member on each level, and cannot be stored.
  if (segments.length > KEY_LENGTH_MAX + 1 + VALUE_DEPTH_MAX) return paths;
  for (let steps = 0; steps < segments.length && steps <= VALUE_DEPTH_MAX; steps++) {
    const first = segments.slice(0, segments.length - steps).join('.');
    if (first !== '' && isStorableKey(first))
      paths.push({ key: first, members: segments.slice(segments.length - steps) });
  }
  return paths;
}

/** A character takes at most two UTF-16 units. */
function isStorableKey(key: string): boolean {
  return key.length <= KEY_LENGTH_MAX || (key.length <= 2 * KEY_LENGTH_MAX && [...key].length <= KEY_LENGTH_MAX);
}

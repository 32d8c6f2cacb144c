import { hash } from 'node:crypto';
import { isLastPage, type CursorPosition } from '#database';
import { canonicalNumber, inspectJson } from '#json';
import { isTime } from '#platform';
import { type InputPlace, locationIn } from './input-place.js';
import { Problem } from './problems.js';

/** A cursor has a direction, a sequence number and a fingerprint. */
export const CURSOR_LENGTH = 64;
/** And sort keys: a text of 1,020 bytes and a time in base64url. */
const SORT_KEYS_LENGTH_MAX = 1_500;
export const CURSOR_LENGTH_MAX = CURSOR_LENGTH + SORT_KEYS_LENGTH_MAX;

/**
 * What a sort key holds: RFC 3339, text, or a value of any type: `n` and a number, `s` and text, `f` for false, `t` for true, `l` for one
 * that is too long to compare.
 */
export type SortKeyType = 'time' | 'text' | 'value';

/** The order of a list. */
export interface ListOrder {
  /** From the lowest to the highest keys. */
  isAscending: boolean;
  /** The sort keys before `seq`. */
  keys: readonly SortKeyType[];
  /** Whether results without values follow after all others. */
  hasMissing?: boolean;
}

export const NEWEST_FIRST: ListOrder = { isAscending: false, keys: [] };

const DIRECTIONS = { n: 'after', p: 'before' } as const;

/**
 * A cursor is `<direction><seq>.<fingerprint>`: the position (in upper case in an ascending list) and a digest of its filter and
 * order, so that it is rejected with another one. In a sorted list, `-<key>` follows the seq, or `-<key>~<key>`: texts in base64url. A
 * cursor is not secret: it grants nothing beyond the API key.
 */
export function encodeCursor({ kind, seq, oldestFirst, keys }: CursorPosition, fingerprint: string): string {
  const direction = kind === 'after' ? 'n' : 'p';
  const texts = keys === undefined ? '' : `-${keys.map((key) => Buffer.from(key).toString('base64url')).join('~')}`;
  return `${oldestFirst ? direction.toUpperCase() : direction}${BigInt(seq).toString(36)}${texts}.${fingerprint}`;
}

/** @throws Problem invalid-cursor for a cursor that was not issued by this API, or was issued for another filter or list */
export function decodeCursor(
  cursor: string,
  fingerprint: string,
  order = NEWEST_FIRST,
  place: InputPlace = 'query',
): CursorPosition {
  const [, letter = '', seq = '', encoded, cursorFingerprint] =
    /^([npNP])([0-9a-z]{1,13})(?:-([\w~-]*))?\.([\w-]+)$/.exec(cursor) ?? [];
  const value = fromBase36(seq);
  if (letter === '' || value >= 2n ** 63n) throw invalidCursor('was not issued by this API', place);
  const keys = encoded?.split('~').map((key) => Buffer.from(key, 'base64url').toString());
  const direction = letter.toLowerCase() as keyof typeof DIRECTIONS;
  const position: CursorPosition = {
    kind: DIRECTIONS[direction],
    seq: value.toString(),
    oldestFirst: letter !== direction,
    ...(keys === undefined ? {} : { keys }),
  };
  if (cursorFingerprint !== fingerprint || !isOfOrder(position, order)) {
    throw invalidCursor('was issued for another filter, order or list; start again without it', place);
  }
  return position;
}

const IS_OF_TYPE: Readonly<Record<SortKeyType, (key: string) => boolean>> = {
  time: isTime,
  text: (key) => isStorable(JSON.stringify(key)),
  value: (key) => {
    const value = key.slice(1);
    if (key.startsWith('s')) return isStorable(JSON.stringify(value));
    if (key.startsWith('n')) return canonicalNumber(value) !== undefined && isStorable(value);
    return ['f', 't', 'l'].includes(key);
  },
};

/** Whether the position has the direction and the sort keys of the list. The link to the last page has none in any list. */
function isOfOrder(position: CursorPosition, order: ListOrder): boolean {
  const { keys, oldestFirst } = position;
  // A list by `seq` may be read in both directions.
  if (order.keys.length > 0 && oldestFirst !== order.isAscending) return false;
  if (keys === undefined) return order.keys.length === 0 || order.hasMissing === true || isLastPage(position);
  return keys.length === order.keys.length && order.keys.every((type, i) => IS_OF_TYPE[type](keys[i] ?? ''));
}

function isStorable(json: string): boolean {
  return inspectJson(json, () => false).errors.length === 0;
}

function fromBase36(text: string): bigint {
  return [...text].reduce((sum, digit) => sum * 36n + BigInt(parseInt(digit, 36)), 0n);
}

function invalidCursor(detail: string, place: InputPlace): Problem {
  return new Problem('invalid-cursor', {
    detail: `The cursor ${detail}.`,
    errors: [{ ...locationIn(place, 'cursor'), detail }],
  });
}

/** A short digest of everything that determines the results of a list and their order. */
export function fingerprintOf(...parts: unknown[]): string {
  return hash('sha256', JSON.stringify(parts), 'base64url').slice(0, 12);
}

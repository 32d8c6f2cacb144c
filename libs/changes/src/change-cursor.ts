import { Problem } from '#http';

/** A place in the changes of a project: after the change at a position, or inside it. */
export interface ChangePlace {
  /** A bigint as text. */
  position: string;
  /** Inside a change of many objects: the sequence number, or the number in its list, of the last object before this place. */
  inside: string | null;
}

/** A cursor is `<position>` or `<position>-<inside>` in base 36, and a fingerprint of the project and the filter. */
const CURSOR = /^([0-9a-z]{1,13})(?:-([0-9a-z]{1,13}))?\.([\w-]+)$/;
export const CHANGE_CURSOR_LENGTH_MAX = 64;

export function encodeChangeCursor({ position, inside }: ChangePlace, fingerprint: string): string {
  return `${toBase36(position)}${inside === null ? '' : `-${toBase36(inside)}`}.${fingerprint}`;
}

/** @param source what to name in the error @throws Problem invalid-cursor */
export function decodeChangeCursor(
  cursor: string,
  fingerprint: string,
  source: { parameter: string } | { header: string },
): ChangePlace {
  const [, position, inside, ofCursor] = CURSOR.exec(cursor) ?? [];
  const place = { position: fromBase36(position), inside: inside === undefined ? null : fromBase36(inside) };
  if (place.position === null || (inside !== undefined && place.inside === null))
    throw invalidCursor('was not issued by this API', source);
  if (ofCursor !== fingerprint)
    throw invalidCursor('was issued for another filter or list; start again without it', source);
  return place as ChangePlace;
}

function toBase36(number: string): string {
  return BigInt(number).toString(36);
}

/** Null for what is no bigint of PostgreSQL. */
function fromBase36(text = ''): string | null {
  const value = [...text].reduce((sum, digit) => sum * 36n + BigInt(parseInt(digit, 36)), 0n);
  return text === '' || value >= 2n ** 63n ? null : value.toString();
}

function invalidCursor(detail: string, source: { parameter: string } | { header: string }): Problem {
  return new Problem('invalid-cursor', { detail: `The cursor ${detail}.`, errors: [{ ...source, detail }] });
}

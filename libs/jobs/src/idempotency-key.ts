/** Visible ASCII, and no quote in front; a space never: Node.js joins a header that was sent twice with ", ". */
const BARE = /^[!#-~][!-~]{0,254}$/;
/** A string of RFC 8941, as draft-ietf-httpapi-idempotency-key-header writes the key. */
const QUOTED = /^"((?:[!#-[\]-~]|\\["\\]){1,255})"$/;

/**
 * The text of an Idempotency-Key header, 1 to 255 characters of visible ASCII; `"abc"` and `abc` are the same text, so that
 * clients of the draft and of everybody before it can mix. Null for a header that is none.
 */
export function parseIdempotencyKey(header: string): string | null {
  if (BARE.test(header)) return header;
  return QUOTED.exec(header)?.[1]?.replace(/\\(["\\])/g, '$1') ?? null;
}

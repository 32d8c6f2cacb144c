/** Visible ASCII without a leading quote. No space: Node.js joins a header that was sent twice with ", ". */
const BARE = /^[!#-~][!-~]{0,254}$/;
/** A string of RFC 8941, as draft-ietf-httpapi-idempotency-key-header writes the key. */
const QUOTED = /^"((?:[!#-[\]-~]|\\["\\]){1,255})"$/;

/**
 * The text of an Idempotency-Key header, 1 to 255 characters of visible ASCII. `"abc"`, as in the draft, and `abc`, as in older
 * APIs, are the same text. Null for an invalid header.
 */
export function parseIdempotencyKey(header: string): string | null {
  if (BARE.test(header)) return header;
  return QUOTED.exec(header)?.[1]?.replace(/\\(["\\])/g, '$1') ?? null;
}

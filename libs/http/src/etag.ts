import { hash } from 'node:crypto';

/** A strong entity tag: a digest of the representation, so that equal tags mean equal bytes. */
export function etagOf(representation: string | Buffer): string {
  return `"${hash('sha256', representation, 'base64url').slice(0, 22)}"`;
}

/** The entity tag of a response that a handler returns as an object. */
export function etagOfJson(response: object): string {
  return etagOf(JSON.stringify(response));
}

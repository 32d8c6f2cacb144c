import { createHmac, hash } from 'node:crypto';

/**
 * A strong entity tag: a digest of the representation, so that equal tags mean equal bytes.
 * @param secret where who gets the tag may not read the representation, and could guess it by computing tags
 */
export function etagOf(representation: string | Buffer, secret: Buffer | null = null): string {
  const digest =
    secret === null
      ? hash('sha256', representation, 'base64url')
      : createHmac('sha256', secret).update(representation).digest('base64url');
  return `"${digest.slice(0, 22)}"`;
}

/** The entity tag of a response that a handler returns as an object. */
export function etagOfJson(response: object): string {
  return etagOf(JSON.stringify(response));
}

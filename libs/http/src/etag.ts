import { hash } from 'node:crypto';
import { Problem } from './problems.js';

/** A strong entity tag: a digest of the representation, so that equal tags mean equal bytes. */
export function etagOf(representation: string): string {
  return `"${hash('sha256', representation, 'base64url').slice(0, 22)}"`;
}

/** Use `checkPreconditions`. @throws Problem precondition-failed unless If-Match names this tag; compares strongly (RFC 9110, section 13.1.1). */
export function requireMatch(ifMatch: string | undefined, etag: string): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const strong = ifMatch.split(',').map((one) => one.trim());
  if (strong.includes(etag)) return;
  throw new Problem('precondition-failed', {
    detail: 'If-Match does not name the present ETag; read it again and apply your change to that.',
    headers: { ETag: etag },
  });
}

import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether the header `Authorization` has the token as its bearer. The time does not reveal how much of a wrong one is right. */
export function hasToken(authorization: string | undefined, token: string): boolean {
  const sent = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return sent !== undefined && timingSafeEqual(digestOf(sent), digestOf(token));
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

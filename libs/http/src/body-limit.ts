import { Problem } from './problems.js';

/** The largest body that a route accepts. */
export interface BodyLimit {
  /** The size, of a compressed body after decompression. */
  bytes: number;
  /** The setting, or the member of /api/v1/limits, for the error. */
  name: string;
}

export function bodyTooLarge({ bytes, name }: BodyLimit): Problem {
  return new Problem('too-large', {
    detail: `The body exceeds ${name}, ${String(bytes)} bytes; see /api/v1/limits.`,
  });
}

import { Problem, type ProblemSlug } from './problems.js';

/**
 * What the API says for an error of the database, by SQLSTATE (PostgreSQL, appendix A), or by the class of two characters.
 * Stores answer the cases they foresee themselves, with a pointer; this is the net below them.
 */
const BY_SQLSTATE: Readonly<Record<string, { slug: ProblemSlug; detail: string }>> = {
  '22003': { slug: 'invalid-body', detail: 'A number is beyond what can be stored.' },
  '22P02': { slug: 'invalid-body', detail: 'A value cannot be stored as it is.' },
  '22P05': { slug: 'invalid-body', detail: 'A character cannot be stored.' },
  '23505': { slug: 'conflict', detail: 'Something with this id exists already.' },
  '40001': { slug: 'unavailable', detail: 'Too many writers changed the same things at once; send it again.' },
  '40P01': { slug: 'unavailable', detail: 'Too many writers changed the same things at once; send it again.' },
  '53': { slug: 'unavailable', detail: 'The database is out of room or connections.' },
  '54': { slug: 'too-large', detail: 'This is more than the database takes in one piece; see /api/v1/limits.' },
  '55P03': { slug: 'unavailable', detail: 'Another request is writing the same thing; send it again.' },
  '57': { slug: 'unavailable', detail: 'The database is stopping or took too long.' },
  '08': { slug: 'unavailable', detail: 'The database cannot be reached.' },
  XX000: { slug: 'unavailable', detail: 'A node of the database cannot be reached.' },
};

/** Codes of Node.js for a socket that could not be opened or broke. */
const SOCKET_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** SQLSTATEs of a connection that broke (08, 57P0x) or that the server does not let in: closed, renamed, other passwords. */
const CONNECTION_STATES = /^(?:08|57P0|28|3D000|55000)/;

/** What a pool says that had no connection to give in time: the database is there, and asking again makes it no better. */
const POOL_BUSY = 'timeout exceeded when trying to connect';

/** True where the connection broke or the transaction lost a race, so that the same work may be tried again. */
export function isRetryable(error: unknown): boolean {
  const code = codeOf(error);
  return isConnectionLoss(error) || code === '40001' || code === '40P01' || code === 'XX000';
}

/** True where the connection is gone or could not be made. */
export function isConnectionLoss(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined) return CONNECTION_STATES.test(code) || SOCKET_CODES.has(code);
  // pg throws these without a code.
  return error instanceof Error && /^Connection terminated|^Client has encountered/.test(error.message);
}

/** True where a row with this key was there already. */
export function isUniqueViolation(error: unknown): boolean {
  return codeOf(error) === '23505';
}

/** True where a value is what the database cannot take: what else is sent at the same time may be fine. */
export function isDataError(error: unknown): boolean {
  return /^(?:22|23|54)/.test(codeOf(error) ?? '');
}

/** The problem for an error of the database, or undefined for any other error. */
export function problemOfDatabase(error: unknown): Problem | undefined {
  if (isConnectionLoss(error)) {
    return new Problem('unavailable', { detail: 'The database cannot be reached.', cause: error });
  }
  if (error instanceof Error && error.message === POOL_BUSY) {
    return new Problem('unavailable', {
      detail: 'The server is busy; every connection to the database is in use.',
      cause: error,
    });
  }
  const code = codeOf(error);
  const entry = code === undefined ? undefined : (BY_SQLSTATE[code] ?? BY_SQLSTATE[code.slice(0, 2)]);
  return entry === undefined ? undefined : new Problem(entry.slug, { detail: entry.detail, cause: error });
}

/** Of pg's errors, of TypeORM's that wrap them, and of Node.js, whose errors come from another realm in a VM context. */
function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

import { SequenceUnavailableError } from './sequence.js';

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

/** Whether the same work may succeed when it is repeated: the connection broke, the transaction lost a race, or the lane's lease ended. */
export function isRetryable(error: unknown): boolean {
  const code = sqlStateOf(error);
  return (
    isConnectionLoss(error) ||
    error instanceof SequenceUnavailableError ||
    code === '40001' ||
    code === '40P01' ||
    code === 'XX000'
  );
}

/** True where the connection is gone or could not be made. */
export function isConnectionLoss(error: unknown): boolean {
  const code = sqlStateOf(error);
  if (code !== undefined) return CONNECTION_STATES.test(code) || SOCKET_CODES.has(code);
  // pg throws these without a code.
  return error instanceof Error && /^Connection terminated|^Client has encountered/.test(error.message);
}

/** True where a row with this key was there already. */
export function isUniqueViolation(error: unknown): boolean {
  return sqlStateOf(error) === '23505';
}

/** True when the pool had no free connection within its time limit: the database is up, and a retry does not help now. */
export function isPoolExhausted(error: unknown): boolean {
  return error instanceof Error && error.message === 'timeout exceeded when trying to connect';
}

/** True where a value is what the database cannot take: what else is sent at the same time may be fine. */
export function isDataError(error: unknown): boolean {
  return /^(?:22|23|54)/.test(sqlStateOf(error) ?? '');
}

/**
 * The `code` of an error: a SQLSTATE for errors of pg and TypeORM, a system code such as ECONNREFUSED for errors of Node.js.
 * Not `instanceof Error`: in a VM context the errors of Node.js belong to another realm.
 */
export function sqlStateOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

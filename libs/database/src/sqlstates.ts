import { errorCode } from './error-code.js';
import { SequenceUnavailableError } from './sequence.js';
import { DatabaseStalledError } from './stall-monitor.js';

/** Codes of Node.js for a socket that could not be opened, or that broke. */
const SOCKET_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
]);

/** System calls that open a socket. Connections to the database are the only ones that Stowage's servers open. */
const CONNECT_CALLS = new Set(['connect', 'getaddrinfo']);

/**
 * SQLSTATEs of a connection that broke (08, 57P0x) or that the server rejects: the database is closed or renamed, the password
 * changed.
 */
const CONNECTION_STATES = /^(?:08|57P0|28|3D000|55000)/;

/** Errors of open connections to the database: the sockets of clients and files have errors with the same codes. */
const connectionErrors = new WeakSet<object>();

/** Records that a connection to the database reported this error. */
export function recordConnectionError(error: Error): void {
  connectionErrors.add(error);
}

/**
 * Whether the same work may succeed when it is repeated: the connection broke, the transaction lost a race, or the lease of
 * sequence numbers has ended.
 */
export function isRetryable(error: unknown): boolean {
  const code = errorCode(error);
  return (
    isConnectionLoss(error) ||
    error instanceof SequenceUnavailableError ||
    code === '40001' ||
    code === '40P01' ||
    code === 'XX000' ||
    // On a cluster, a worker that was lost during the statement.
    code === '58030'
  );
}

/** Whether the connection to the database broke or could not be opened. */
export function isConnectionLoss(error: unknown): boolean {
  const code = errorCode(error);
  if (code !== undefined) return CONNECTION_STATES.test(code) || (SOCKET_CODES.has(code) && isOfConnection(error));
  // pg throws these without a code.
  return error instanceof Error && /^Connection terminated|^Client has encountered/.test(error.message);
}

/**
 * Whether another server with the same data may succeed: this one cannot be reached, has no resources (53), cannot read its files (58), or
 * has cancelled the statement because the replay of changes had to go on (40001). A sort that exceeds `temp_file_limit` (53400) is too large
 * for other servers, too.
 */
export function isServerFailure(error: unknown): boolean {
  return (
    isRetryable(error) ||
    isPoolExhausted(error) ||
    isUnresponsive(error) ||
    /^(?:53(?!400)|58|XX)/.test(errorCode(error) ?? '')
  );
}

/** Whether PostgreSQL has ended the statement, because transactions waited for each other. */
export function isDeadlock(error: unknown): boolean {
  return errorCode(error) === '40P01';
}

/** Whether a row with this key exists. */
export function isUniqueViolation(error: unknown): boolean {
  return errorCode(error) === '23505';
}

/**
 * Whether a row that COPY sent may exist: on a cluster the error arrives as an internal one. Its sender looks for the row, and has to
 * throw the error again where there is none.
 */
export function mayBeUniqueViolation(error: unknown): boolean {
  return isUniqueViolation(error) || errorCode(error) === 'XX000';
}

/** Whether a row refers to a project that does not exist. The constraints have names such as `devices_project_fkey`. */
export function isMissingProject(error: unknown): boolean {
  if (errorCode(error) !== '23503') return false;
  const { constraint = '' } = error as { constraint?: string };
  return constraint.endsWith('_project_fkey');
}

/** Whether there was no free connection in time: the database is up, and a retry at once does not help. */
export function isPoolExhausted(error: unknown): boolean {
  return error instanceof Error && error.message === 'timeout exceeded when trying to connect';
}

/** Whether the database did not respond in time to this statement, or does not respond at all. */
export function isUnresponsive(error: unknown): boolean {
  return error instanceof DatabaseStalledError || (error instanceof Error && error.message === 'Query read timeout');
}

/** Whether the database cannot store a value; other values of the same statement may be fine. */
export function isDataError(error: unknown): boolean {
  return /^(?:22|23|54)/.test(errorCode(error) ?? '');
}

function isOfConnection(error: unknown): boolean {
  // TypeORM wraps the errors of a query; Node.js collects those of a host with several addresses.
  const [first] = (memberOf(error, 'errors') as unknown[] | undefined) ?? [];
  return [error, memberOf(error, 'driverError'), first].some(
    (one) =>
      typeof one === 'object' &&
      one !== null &&
      (connectionErrors.has(one) || CONNECT_CALLS.has(String(memberOf(one, 'syscall')))),
  );
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

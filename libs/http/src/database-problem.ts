import {
  ClientGoneError,
  errorCode,
  isConnectionLoss,
  isMissingProject,
  isPoolExhausted,
  isUnresponsive,
  OutcomeUnknownError,
  QueryTimeoutError,
  SequenceUnavailableError,
} from '#database';
import { Problem, type ProblemSlug } from './problems.js';

/** Of a request that was authenticated before its project was deleted. */
export const PROJECT_DELETED = 'The project was deleted while the request was running; nothing was changed.';

/**
 * The problem for a database error, by SQLSTATE (PostgreSQL, appendix A) or by its class of two characters. Stores handle the
 * errors they expect themselves, with a pointer; this table covers the rest.
 */
const BY_SQLSTATE: Readonly<Record<string, { slug: ProblemSlug; detail: string }>> = {
  '22003': { slug: 'invalid-body', detail: 'A number exceeds the range that can be stored.' },
  '22P02': { slug: 'invalid-body', detail: 'A value cannot be stored unchanged.' },
  '22P05': { slug: 'invalid-body', detail: 'A character cannot be stored.' },
  '23505': { slug: 'conflict', detail: 'A resource with this id exists already.' },
  '40001': { slug: 'unavailable', detail: 'Concurrent writes conflicted; retry the request.' },
  '40P01': { slug: 'unavailable', detail: 'Concurrent writes conflicted; retry the request.' },
  '53': { slug: 'unavailable', detail: 'The database has no free connections or memory; retry later.' },
  '53100': { slug: 'insufficient-storage', detail: 'The disk of the database is full; nothing was stored.' },
  '53400': {
    slug: 'insufficient-storage',
    detail:
      'The sort needs more space on the disk of the database than temp_file_limit allows. Use a narrower filter, or leave out sort; ' +
      'a retry is likely to fail as well.',
  },
  '54': { slug: 'too-large', detail: 'The request exceeds a limit of the database; see /api/v1/limits.' },
  '55P03': { slug: 'unavailable', detail: 'Another request holds a lock on the same data; retry the request.' },
  '57014': {
    slug: 'unavailable',
    detail: 'A statement took too long and was cancelled; request less, or retry later.',
  },
  '57': { slug: 'unavailable', detail: 'The database is shutting down or did not respond in time; retry later.' },
  '08': { slug: 'unavailable', detail: 'The database cannot be reached; retry later.' },
  XX000: { slug: 'unavailable', detail: 'The database reported an internal error; retry later.' },
};

/** The problem for a database error, or undefined for any other error. */
export function databaseProblem(error: unknown): Problem | undefined {
  if (error instanceof OutcomeUnknownError) {
    return new Problem('unavailable', {
      detail: 'The connection to the database was lost during commit; the outcome is unknown, check before retrying.',
      cause: error,
    });
  }
  if (error instanceof QueryTimeoutError) {
    const detail =
      `The query was cancelled after ${String(error.timeoutMs)} ms (QUERY_TIMEOUT_MS). Use a narrower filter, a shorter time ` +
      'span or pages by cursor; a retry is likely to time out as well.';
    return new Problem('unavailable', { detail, cause: error });
  }
  if (error instanceof ClientGoneError) {
    return new Problem('malformed-request', { detail: 'The connection was closed before the response.', cause: error });
  }
  if (isConnectionLoss(error)) {
    return new Problem('unavailable', { detail: 'The database cannot be reached; retry later.', cause: error });
  }
  if (error instanceof SequenceUnavailableError) {
    const detail = 'This server cannot assign sequence numbers at the moment; retry later.';
    return new Problem('unavailable', { detail, cause: error });
  }
  if (isPoolExhausted(error)) {
    return new Problem('unavailable', {
      detail: 'All database connections are in use; retry later.',
      cause: error,
    });
  }
  if (isUnresponsive(error)) {
    return new Problem('unavailable', { detail: 'The database did not respond in time; retry later.', cause: error });
  }
  if (isMissingProject(error)) return new Problem('not-found', { detail: PROJECT_DELETED, cause: error });
  const code = errorCode(error);
  const entry = code === undefined ? undefined : (BY_SQLSTATE[code] ?? BY_SQLSTATE[code.slice(0, 2)]);
  return entry === undefined ? undefined : new Problem(entry.slug, { detail: entry.detail, cause: error });
}

import { isConnectionLoss, isPoolExhausted, OutcomeUnknownError, SequenceUnavailableError, errorCode } from '#database';
import { Problem, type ProblemSlug } from './problems.js';

/**
 * The problem for a database error, by SQLSTATE (PostgreSQL, appendix A) or by its class of two characters. Stores handle the
 * errors they expect themselves, with a pointer; this table covers the rest.
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

/** The problem for a database error, or undefined for any other error. */
export function databaseProblem(error: unknown): Problem | undefined {
  if (error instanceof OutcomeUnknownError) {
    return new Problem('unavailable', {
      detail: 'The connection to the database was lost during commit; the outcome is unknown, check before retrying.',
      cause: error,
    });
  }
  if (isConnectionLoss(error)) {
    return new Problem('unavailable', { detail: 'The database cannot be reached.', cause: error });
  }
  if (error instanceof SequenceUnavailableError) {
    const detail = 'This server cannot assign sequence numbers at the moment; retry later.';
    return new Problem('unavailable', { detail, cause: error });
  }
  if (isPoolExhausted(error)) {
    return new Problem('unavailable', { detail: 'All database connections are in use; retry later.', cause: error });
  }
  const code = errorCode(error);
  const entry = code === undefined ? undefined : (BY_SQLSTATE[code] ?? BY_SQLSTATE[code.slice(0, 2)]);
  return entry === undefined ? undefined : new Problem(entry.slug, { detail: entry.detail, cause: error });
}

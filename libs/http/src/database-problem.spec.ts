import { describe, expect, it } from '@jest/globals';
import { DatabaseError } from 'pg';
import { isConnectionLoss, isRetryable, SequenceUnavailableError } from '#database';
import { databaseProblem } from './database-problem.js';

function errorWithSqlState(code: string): DatabaseError {
  const error = new DatabaseError('relation "secret" is in the way', 0, 'error');
  error.code = code;
  return error;
}

function socketError(code: string, syscall = 'connect'): Error {
  return Object.assign(new Error(`${syscall} ${code} /secret/socket`), { code, syscall });
}

describe('databaseProblem', () => {
  it.each([
    ['22003', 'invalid-body'],
    ['22P05', 'invalid-body'],
    ['23505', 'conflict'],
    ['40001', 'unavailable'],
    ['40P01', 'unavailable'],
    ['53100', 'insufficient-storage'],
    ['53300', 'unavailable'],
    ['53400', 'insufficient-storage'],
    ['54000', 'too-large'],
    ['55P03', 'unavailable'],
    ['57014', 'unavailable'],
    ['57P01', 'unavailable'],
    ['57P03', 'unavailable'],
    ['08006', 'unavailable'],
    ['28P01', 'unavailable'],
    ['3D000', 'unavailable'],
    ['55000', 'unavailable'],
    ['XX000', 'unavailable'],
  ])('maps SQLSTATE %s to %s without internals', (code, slug) => {
    const error = errorWithSqlState(code);
    const problem = databaseProblem(error);
    expect(problem).toMatchObject({ slug, cause: error });
    expect(problem?.message).not.toContain('secret');
    const retryAfter = { unavailable: '5', 'insufficient-storage': '60' }[slug];
    expect(problem?.headers['Retry-After']).toBe(retryAfter);
  });

  it('maps a reference to a missing project to 404, and no other broken reference', () => {
    const error = errorWithSqlState('23503');
    error.constraint = 'project_usage_project_fkey';
    expect(databaseProblem(error)).toMatchObject({ slug: 'not-found', cause: error });
    error.constraint = 'late';
    expect(databaseProblem(error)).toBeUndefined();
  });

  it.each(['42P01', '42601', '23503', '22012', 'P0001', 'XX001'])('does not map SQLSTATE %s', (code) => {
    expect(databaseProblem(errorWithSqlState(code))).toBeUndefined();
  });

  it.each(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'])(
    'maps the socket error %s to 503, which is retryable',
    (code) => {
      expect(databaseProblem(socketError(code))).toMatchObject({
        slug: 'unavailable',
        headers: { 'Retry-After': '5' },
      });
      expect([isConnectionLoss(socketError(code)), isRetryable(socketError(code))]).toEqual([true, true]);
    },
  );

  it.each([
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'Client has encountered a connection error and is not queryable',
  ])('recognizes an error without a code by its message: %s', (message) => {
    expect(isConnectionLoss(new Error(message))).toBe(true);
    expect(databaseProblem(new Error(message))?.slug).toBe('unavailable');
  });

  it('maps an exhausted pool to 503, which is not retryable', () => {
    const error = new Error('timeout exceeded when trying to connect');
    expect([isRetryable(error), databaseProblem(error)?.slug]).toEqual([false, 'unavailable']);
  });

  it('maps an expired lease of sequence numbers to 503, which is retryable', () => {
    const error = new SequenceUnavailableError('the lease of lane 5 has ended');
    expect(databaseProblem(error)).toMatchObject({ slug: 'unavailable', cause: error });
    expect(databaseProblem(error)?.message).not.toContain('lane');
    expect(isRetryable(error)).toBe(true);
  });

  it.each([
    new Error('Connection is fine'),
    new TypeError('x'),
    null,
    undefined,
    'ECONNRESET',
    { code: 23505 },
    socketError('EACCES'),
    socketError('ENOENT', 'open'),
    socketError('ECONNRESET', 'read'),
  ])('returns undefined for other errors: %p', (error) => {
    expect([databaseProblem(error), isConnectionLoss(error), isRetryable(error)]).toEqual([undefined, false, false]);
  });
});

describe('isRetryable', () => {
  it.each(['40001', '40P01', 'XX000', '57P01', '08006'])('is true for %s', (code) => {
    expect(isRetryable(errorWithSqlState(code))).toBe(true);
  });

  it.each(['23505', '22003', '53300', '57014', '42P01'])('is false for %s', (code) => {
    expect(isRetryable(errorWithSqlState(code))).toBe(false);
  });
});

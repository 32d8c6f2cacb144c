import { describe, expect, it } from '@jest/globals';
import { DatabaseError } from 'pg';
import { isConnectionLoss, isRetryable, SequenceUnavailableError } from '#database';
import { databaseProblem } from './database-problem.js';

function ofState(code: string): DatabaseError {
  const error = new DatabaseError('relation "secret" is in the way', 0, 'error');
  error.code = code;
  return error;
}

function ofSocket(code: string, syscall = 'connect'): Error {
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
    const error = ofState(code);
    const problem = databaseProblem(error);
    expect(problem).toMatchObject({ slug, cause: error });
    expect(problem?.message).not.toContain('secret');
    expect(problem?.headers).toEqual(slug === 'unavailable' ? { 'Retry-After': '5' } : {});
  });

  it.each(['42P01', '42601', '23503', '22012', 'P0001', 'XX001'])('does not map SQLSTATE %s', (code) => {
    expect(databaseProblem(ofState(code))).toBeUndefined();
  });

  it.each(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'])(
    'of the socket, %s, may be tried again',
    (code) => {
      expect(databaseProblem(ofSocket(code))).toMatchObject({ slug: 'unavailable', headers: { 'Retry-After': '5' } });
      expect([isConnectionLoss(ofSocket(code)), isRetryable(ofSocket(code))]).toEqual([true, true]);
    },
  );

  it.each([
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'Client has encountered a connection error and is not queryable',
  ])('without a code is known by its words: %s', (message) => {
    expect(isConnectionLoss(new Error(message))).toBe(true);
    expect(databaseProblem(new Error(message))?.slug).toBe('unavailable');
  });

  it('of a pool that is busy says so, and is not tried again', () => {
    const error = new Error('timeout exceeded when trying to connect');
    expect([isRetryable(error), databaseProblem(error)?.slug]).toEqual([false, 'unavailable']);
  });

  it('of a lease of sequence numbers that has ended is a 503 that may be retried', () => {
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
    ofSocket('EACCES'),
    ofSocket('ENOENT', 'open'),
    ofSocket('ECONNRESET', 'read'),
  ])('is not what is none: %p', (error) => {
    expect([databaseProblem(error), isConnectionLoss(error), isRetryable(error)]).toEqual([undefined, false, false]);
  });
});

describe('isRetryable', () => {
  it.each(['40001', '40P01', 'XX000', '57P01', '08006'])('is true for %s', (code) => {
    expect(isRetryable(ofState(code))).toBe(true);
  });

  it.each(['23505', '22003', '53300', '57014', '42P01'])('is false for %s', (code) => {
    expect(isRetryable(ofState(code))).toBe(false);
  });
});

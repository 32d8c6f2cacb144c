import type { ProblemDto, ProblemSlug } from '#http';
import { expect } from '@jest/globals';
import type { Reply } from '../harness/api.js';
import { RUN } from '../harness/run.js';

/** Expects a complete problem document (RFC 9457) of this slug, and returns it. */
export function expectProblem(reply: Omit<Reply, 'json'>, slug: ProblemSlug): ProblemDto {
  const { status, title } = RUN.problems[slug];
  expect([reply.status, reply.text]).toEqual([status, expect.stringContaining(`/problems#${slug}"`)]);
  expect(reply.headers.get('content-type')).toMatch(/^application\/problem\+json(?:;|$)/);
  const problem = JSON.parse(reply.text) as ProblemDto;
  expect(problem).toMatchObject({ status, title });
  expect(new URL(problem.type, 'http://server').hash).toBe(`#${slug}`);
  expect(problem.detail).toMatch(/^\S.*\.$/);
  // The problem of a request that cannot be parsed has neither.
  const type = reply.headers.has('x-request-id') ? 'string' : 'undefined';
  for (const member of ['instance', 'request_id'] as const) expect(typeof problem[member]).toBe(type);
  return problem;
}

/** The pointers and parameters of a problem's errors. */
export function placesOf({ errors = [] }: ProblemDto): (string | undefined)[] {
  return errors.map(({ pointer, parameter }) => pointer ?? parameter);
}

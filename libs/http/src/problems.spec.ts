import { describe, expect, it } from '@jest/globals';
import { validationSummary, Problem, PROBLEMS, type InputError, type ProblemSlug } from './problems.js';

describe('the kinds of problems', () => {
  it('have a status of an error, a title that is no sentence, and a slug that can be an anchor', () => {
    for (const [slug, { status, title }] of Object.entries(PROBLEMS)) {
      expect(slug).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
      expect(title).toMatch(/^[A-Z].*[^.]$/);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
    }
  });

  it('have a title each of their own', () => {
    const titles = Object.values(PROBLEMS).map(({ title }) => title);
    expect(new Set(titles).size).toBe(titles.length);
  });
});

describe('a problem', () => {
  it('takes status and title from its kind', () => {
    for (const slug of Object.keys(PROBLEMS) as ProblemSlug[]) {
      expect(new Problem(slug, { detail: 'x' })).toMatchObject({ slug, message: 'x', ...PROBLEMS[slug] });
    }
  });

  it('lists 100 mistakes and counts them all', () => {
    const errors = Array.from({ length: 101 }, (_, i): InputError => ({ pointer: `/${String(i)}`, detail: 'x' }));
    const problem = new Problem('invalid-body', { detail: 'x', errors });
    expect([problem.errors.length, problem.errorCount]).toEqual([100, 101]);
    expect(problem.errors).toEqual(errors.slice(0, 100));
  });

  it('counts more mistakes than it was given, where told so', () => {
    const problem = new Problem('invalid-body', {
      detail: 'x',
      errors: [{ pointer: '', detail: 'x' }],
      errorCount: 5000,
    });
    expect([problem.errors.length, problem.errorCount]).toEqual([1, 5000]);
  });

  it('keeps its cause to itself', () => {
    const problem = new Problem('internal', { detail: 'public', cause: new Error('private') });
    expect([problem.message, (problem.cause as Error).message]).toEqual(['public', 'private']);
  });
});

describe('the words of a problem', () => {
  it('count mistakes', () => {
    expect([validationSummary(1), validationSummary(2)]).toEqual([
      'There is one mistake; see errors.',
      'There are 2 mistakes; see errors.',
    ]);
  });
});

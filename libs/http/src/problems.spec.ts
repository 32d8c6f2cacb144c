import { describe, expect, it } from '@jest/globals';
import { Problem, PROBLEMS, ValidationErrors, type InputError, type ProblemSlug } from './problems.js';

describe('PROBLEMS', () => {
  it('have an error status, a title without a full stop and a slug that can be an anchor', () => {
    for (const [slug, { status, title }] of Object.entries(PROBLEMS)) {
      expect(slug).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
      expect(title).toMatch(/^[A-Z].*[^.]$/);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
    }
  });

  it('have different titles', () => {
    const titles = Object.values(PROBLEMS).map(({ title }) => title);
    expect(new Set(titles).size).toBe(titles.length);
  });
});

describe('Problem', () => {
  it('has the status and title of its slug', () => {
    for (const slug of Object.keys(PROBLEMS) as ProblemSlug[]) {
      expect(new Problem(slug, { detail: 'x' })).toMatchObject({ slug, message: 'x', ...PROBLEMS[slug] });
    }
  });

  it('lists 100 errors and counts all of them', () => {
    const errors = Array.from({ length: 101 }, (_, i): InputError => ({ pointer: `/${String(i)}`, detail: 'x' }));
    const problem = new Problem('invalid-body', { detail: 'x', errors });
    expect([problem.errors.length, problem.errorCount]).toEqual([100, 101]);
    expect(problem.errors).toEqual(errors.slice(0, 100));
  });

  it('accepts a total that exceeds the number of errors given', () => {
    const problem = new Problem('invalid-body', {
      detail: 'x',
      errors: [{ pointer: '', detail: 'x' }],
      errorCount: 5000,
    });
    expect([problem.errors.length, problem.errorCount]).toEqual([1, 5000]);
  });

  it('does not include its cause in its message', () => {
    const problem = new Problem('internal', { detail: 'public', cause: new Error('private') });
    expect([problem.message, (problem.cause as Error).message]).toEqual(['public', 'private']);
  });
});

describe('the detail of validation errors', () => {
  it.each<[string, InputError]>([
    ['/objects/7/data/0/key must be text.', { pointer: '/objects/7/data/0/key', detail: 'must be text' }],
    ['The body must be an object.', { pointer: '', detail: 'must be an object' }],
    ['page_size must be at most 1000.', { parameter: 'page_size', detail: 'must be at most 1000' }],
    ['Prefer must be sent once.', { header: 'Prefer', detail: 'must be sent once' }],
  ])('is the text of a single error with its location: %s', (detail, error) => {
    const problem = new ValidationErrors(error).problem('invalid-body');
    expect([problem.message, problem.errors, problem.errorCount]).toEqual([detail, [error], 1]);
  });

  it('says where the rest of the body was not validated', () => {
    const errors = new ValidationErrors({ pointer: '/lines/1/data', detail: 'is missing' });
    errors.isCountMinimum = true;
    expect(errors.problem('invalid-body').message).toBe(
      '/lines/1/data is missing. The rest of the body was not validated.',
    );
    errors.add({ pointer: '/lines/2/data', detail: 'is missing' });
    expect(errors.problem('invalid-body').message).toBe('At least 2 validation errors.');
  });

  it('is the number of several errors', () => {
    const errors = new ValidationErrors(...Array<InputError>(101).fill({ pointer: '', detail: 'x' }));
    expect(errors.problem('invalid-body')).toMatchObject({ message: '101 validation errors.', errorCount: 101 });
    expect(errors.problem('invalid-body').errors).toHaveLength(100);
  });
});

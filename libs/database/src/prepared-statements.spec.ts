import { expect, it } from '@jest/globals';
import { prepared } from './prepared-statements.js';

const PREPARED_OF_PROJECT = 16;

/** Whether the text is prepared when it comes for the third time. */
function isPrepared(text: string, projectId: number): boolean {
  prepared(text, projectId);
  prepared(text, projectId);
  return prepared(text, projectId).name !== undefined;
}

it('prepares a text from the third time on, by a name that only depends on the text', () => {
  const names = [1, 2, 3, 4].map((projectId) => prepared('SELECT 1', projectId).name);
  expect(names).toEqual([undefined, undefined, expect.any(String), names[2]]);
});

it('does not prepare a text of more than 16 KiB', () => {
  expect(isPrepared(' '.repeat(16 * 1024 + 1), 1)).toBe(false);
});

it('prepares at most 16 texts for the requests of one project, and 80 in all', () => {
  const preparedOf = (projectId: number): number =>
    Array.from({ length: PREPARED_OF_PROJECT + 4 }, (_, i) => `SELECT ${String(i)}, ${String(projectId)}`).filter(
      (text) => isPrepared(text, projectId),
    ).length;
  const counts = [10, 11, 12, 13, 14, 15].map(preparedOf);
  // One text was prepared above.
  expect(counts).toEqual([16, 16, 16, 16, 15, 0]);
});

import { beforeEach, expect, it } from '@jest/globals';
import { PreparedStatements } from './prepared-statements.js';

const PREPARED_OF_PROJECT = 16;

let prepared: PreparedStatements;
beforeEach(() => {
  prepared = new PreparedStatements();
});

/** Whether the text is prepared when it comes for the third time. */
function isPrepared(text: string, projectId: number): boolean {
  prepared.nameOf(text, projectId);
  prepared.nameOf(text, projectId);
  return prepared.nameOf(text, projectId) !== undefined;
}

it('prepares a text from the third time on, by a name that only depends on the text', () => {
  const names = [1, 2, 3, 4].map((projectId) => prepared.nameOf('SELECT 1', projectId));
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
  expect(counts).toEqual([16, 16, 16, 16, 16, 0]);
});

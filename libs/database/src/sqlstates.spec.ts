import { expect, it } from '@jest/globals';
import { isServerFailure } from './sqlstates.js';

it.each([
  ['53100', true],
  ['53300', true],
  ['53400', false],
  ['58030', true],
  ['40001', true],
  ['57014', false],
  ['22P02', false],
])('repeats work that failed with SQLSTATE %s on another server: %s', (code, isRepeated) => {
  expect(isServerFailure(Object.assign(new Error('of the database'), { code }))).toBe(isRepeated);
});

import { expect, it } from '@jest/globals';
import { preferredCoding } from './accept.js';

const CODINGS = ['zstd', 'gzip'] as const;

it.each([
  [undefined, undefined],
  ['', undefined],
  ['zstd', 'zstd'],
  ['gzip', 'gzip'],
  ['gzip, deflate, br, zstd', 'zstd'],
  ['deflate, GZIP ; q=1, br, ZSTD;q=1.0', 'zstd'],
  ['zstd;q=0.5, gzip', 'gzip'],
  ['zstd;q=0, gzip', 'gzip'],
  ['zstd;q=0', undefined],
  ['*', 'zstd'],
  ['*, zstd;q=0', 'gzip'],
  ['*;q=0', undefined],
  ['br, deflate', undefined],
  ['identity', undefined],
  ['identity, gzip;q=0.5', undefined],
  ['gzip;q=0.5, zstd;q=0.5, identity;q=0.1', 'zstd'],
  ['identity;q=0, gzip;q=0.1', 'gzip'],
  ['zstandard', undefined],
])('chooses for Accept-Encoding: %s the coding of the highest weight, and of these the first one', (header, coding) => {
  expect(preferredCoding({ headers: { 'accept-encoding': header } }, CODINGS)).toBe(coding);
});

it('never chooses a coding that is not available', () => {
  expect(preferredCoding({ headers: { 'accept-encoding': 'zstd, gzip;q=0.1' } }, ['gzip'])).toBe('gzip');
  expect(preferredCoding({ headers: { 'accept-encoding': 'zstd' } }, ['gzip'])).toBeUndefined();
});

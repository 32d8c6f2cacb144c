import { expect, it } from '@jest/globals';
import { SearchSize } from './search-size.js';

it('a page asks for its objects first, and for four times as many after each search, until it has read 4,000', () => {
  const size = new SearchSize(11);
  const asked: number[] = [];
  while (!size.isUsedUp) {
    asked.push(size.wanted);
    size.grow(size.wanted);
  }
  expect(asked).toEqual([11, 100, 400, 1_600, 4_000]);
});

it('a search that has left out blocks asks for more candidates, and for as many as the last one has compared', () => {
  expect(new SearchSize(11).wantedOfCandidates()).toBe(44);
  expect(new SearchSize(11).wantedOfCandidates(200)).toBe(200);
  expect(new SearchSize(11).wantedOfCandidates(3_000)).toBe(500);
  expect(new SearchSize(1_001).wantedOfCandidates()).toBe(4_000);
  expect([new SearchSize(11).wantedToCount, new SearchSize(1_001).wantedToCount]).toEqual([500, 1_001]);
});

it('blocks are left out until 500 candidates were read', () => {
  const size = new SearchSize(11);
  size.grow(499);
  expect(size.skipsLargeBlocks).toBe(true);
  size.grow(1);
  expect(size.skipsLargeBlocks).toBe(false);
});

import { describe, expect, it } from '@jest/globals';
import { isScanExpectedToFill, ListSearches } from './list-searches.js';

const SCAN = { rows: 2_000, size: 10 };

describe('the remembered searches of lists', () => {
  it('have the segments and the share of the last search', () => {
    const searches = new ListSearches();
    expect(searches.find('list')).toBeNull();
    searches.add('list', { segments: 4, share: 0.1, compared: 0 }, false);
    searches.add('list', { segments: 8, share: 0.2, compared: 500 }, false);
    expect([searches.find('list'), searches.find('other')]).toEqual([{ segments: 8, share: 0.2, compared: 500 }, null]);
  });

  it('keep the share 0 after a scan that did not fill its page, until they are forgotten', () => {
    let nowMs = 1;
    const searches = new ListSearches({ now: () => nowMs });
    searches.add('list', { segments: 4, share: 0.5, compared: 0 }, true);
    nowMs += 40_000;
    searches.add('list', { segments: 4, share: 0.5, compared: 0 }, false);
    expect(searches.find('list')?.share).toBe(0);
    nowMs += 40_000;
    expect(searches.find('list')).toBeNull();
    searches.add('list', { segments: 4, share: 0.5, compared: 0 }, false);
    expect(searches.find('list')?.share).toBe(0.5);
  });

  it('are at most 2,000', () => {
    const searches = new ListSearches();
    for (let n = 0; n <= 2_000; n++) searches.add(String(n), { segments: n, share: 1, compared: 0 }, false);
    expect([searches.find('0'), searches.find('1')?.segments, searches.find('2000')?.segments]).toEqual([
      null,
      1,
      2_000,
    ]);
  });
});

describe('a scan', () => {
  it.each([
    [{ segments: 4, share: 0, compared: 0 }, false],
    [{ segments: 4, share: 0.022, compared: 0 }, false],
    [{ segments: 4, share: 0.0221, compared: 0 }, true],
  ])('is expected to fill a page where it has four times as many matches: %j', (search, expected) => {
    expect(isScanExpectedToFill(search, SCAN)).toBe(expected);
  });
});

import { describe, expect, it } from '@jest/globals';
import { parseDurationSeconds } from './duration.js';

describe('parseDurationSeconds', () => {
  it.each([
    ['90s', 90],
    ['15m', 900],
    ['1h', 3_600],
    ['1d', 86_400],
    ['2w', 1_209_600],
    ['1h30m', 5_400],
    ['1w1d1h1m1s', 694_861],
    ['3653d', 315_619_200],
    ['521w6d', 315_619_200],
  ])('parses %s as %d seconds', (text, seconds) => {
    expect(parseDurationSeconds(text)).toBe(seconds);
  });

  it.each([
    '',
    '15',
    'm',
    '0m',
    '1h0m',
    '01h',
    '-1h',
    '+1h',
    '1.5h',
    '1e3s',
    '1M',
    '1H',
    '1ms',
    '1y',
    '30m1h',
    '1h1h',
    '1h 30m',
    ' 1h',
    '1h\n',
    '١h',
    '3653d1s',
    '522w',
    '999999999s',
    '9'.repeat(400) + 's',
    'P1D',
    'PT15M',
    ['1h', '1h'],
    undefined,
  ])('rejects %j', (text) => {
    expect(parseDurationSeconds(text)).toBeNull();
  });
});

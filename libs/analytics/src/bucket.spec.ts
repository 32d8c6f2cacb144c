import { describe, expect, it } from '@jest/globals';
import { isTimeZone, parseBucket, timeOfEpoch, type Bucket } from './bucket.js';

describe('parseBucket', () => {
  it.each<[string, Bucket]>([
    ['1m', { kind: 'span', minutes: 1 }],
    ['15m', { kind: 'span', minutes: 15 }],
    ['24h', { kind: 'span', minutes: 1_440 }],
    ['8784h', { kind: 'span', minutes: 527_040 }],
    ['1d', { kind: 'days', days: 1 }],
    ['2w', { kind: 'days', days: 14 }],
    ['366d', { kind: 'days', days: 366 }],
    ['1mo', { kind: 'months', months: 1 }],
    ['3mo', { kind: 'months', months: 3 }],
    ['6mo', { kind: 'months', months: 6 }],
    ['1y', { kind: 'months', months: 12 }],
  ])('parses %s', (text, bucket) => {
    expect(parseBucket(text)).toEqual(bucket);
  });

  it.each([
    '',
    '0m',
    '01m',
    '15',
    'm',
    '1s',
    'month',
    '5mo',
    '12mo',
    '0mo',
    '01mo',
    '1Mo',
    '1M',
    '2y',
    'y',
    'constructor',
    '1.5h',
    '-1h',
    '1h30m',
    ' 1h',
    '1h ',
    '1h\n',
    '１h',
  ])('rejects %j', (text) => {
    expect(parseBucket(text)).toBeNull();
  });

  it.each(['527041m', '8785h', '367d', '53w', '9999999m', '10000000m', '99999999999999999999d'])(
    'rejects %s, which exceeds 366 days',
    (text) => {
      expect(parseBucket(text)).toBeNull();
    },
  );
});

describe('isTimeZone', () => {
  it.each([
    'UTC',
    'Europe/Lisbon',
    'europe/lisbon',
    'America/Argentina/Buenos_Aires',
    'Etc/GMT+5',
    'US/Eastern',
    '+00:00',
    '-05:00',
    '+05:30',
    '+14:59',
  ])('accepts %s', (text) => {
    expect(isTimeZone(text)).toBe(true);
  });

  it.each([
    '',
    'IST',
    'EST',
    'CET',
    '01:00',
    ' 01:00',
    '+1:00',
    '+0100',
    '+15:00',
    '-05:60',
    '+05:30:00',
    '+05:30 ',
    '\u221205:00',
    'Z',
    'UTC+1',
    'Europe/Atlantis',
    'Europe',
    '../UTC',
    'Europe/Lisbon ',
    'a/b\n',
  ])('rejects %j', (text) => {
    expect(isTimeZone(text)).toBe(false);
  });
});

it('formats times of all years of RFC 3339, without trailing zeros in the seconds', () => {
  const times = ['0000-01-01T00:00:00Z', '0000-12-31T04:56:02Z', '2024-03-31T01:00:00Z', '9999-12-31T15:00:00Z'];
  for (const time of times) expect(timeOfEpoch(`${String(Date.parse(time) / 1_000)}.000000`)).toBe(time);
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isTime, isTimeOrDate, isTimestamp, microsOf, toUtc, utcFromMicros, utcFromTimestamp } from './time.js';

describe('isTime', () => {
  it.each([
    '2024-12-10T16:45:00Z',
    '2024-12-10T16:45:00',
    '2024-12-10t16:45:00z',
    '2024-12-10T16:45:00+02:00',
    '2024-12-10T16:45:00-00:00',
    '2024-12-10T16:45:00+14:59',
    '2024-12-10T16:45:00.1Z',
    '2024-12-10T16:45:00.123456Z',
    '2024-12-10T16:45:00.123456000Z',
    '2024-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999999Z',
  ])('accepts %s', (text) => {
    expect(isTime(text)).toBe(true);
  });

  it.each([
    ['a date without a time', '2024-12-10'],
    ['no seconds', '2024-12-10T16:45Z'],
    ['a space instead of T', '2024-12-10 16:45:00Z'],
    ['month 13', '2024-13-10T16:45:00Z'],
    ['month 0', '2024-00-10T16:45:00Z'],
    ['day 0', '2024-12-00T16:45:00Z'],
    ['30 February', '2024-02-30T00:00:00Z'],
    ['29 February of a common year', '2023-02-29T00:00:00Z'],
    ['29 February 1900', '1900-02-29T00:00:00Z'],
    ['31 April', '2024-04-31T00:00:00Z'],
    ['hour 24', '2024-12-10T24:00:00Z'],
    ['minute 60', '2024-12-10T16:60:00Z'],
    ['a leap second', '2016-12-31T23:59:60Z'],
    ['more precise than a microsecond', '2024-12-10T16:45:00.1234567Z'],
    ['a decimal point without digits', '2024-12-10T16:45:00.Z'],
    ['a decimal comma', '2024-12-10T16:45:00,5Z'],
    ['an offset over 14 hours', '2024-12-10T16:45:00+15:00'],
    ['an offset without a colon', '2024-12-10T16:45:00+0200'],
    ['an offset without minutes', '2024-12-10T16:45:00+02'],
    ['the name of a time zone', '2024-12-10T16:45:00 UTC'],
    ['the year 0', '0000-01-01T00:00:00Z'],
    ['the year 0 with an offset', '0000-12-31T23:00:00-01:00'],
    ['the year 0 in UTC', '0001-01-01T00:00:00+01:00'],
    ['the year 10000', '10000-01-01T00:00:00Z'],
    ['the year 10000 in UTC', '9999-12-31T23:59:59-01:00'],
    ['a year with a sign', '+002024-12-10T16:45:00Z'],
    ['surrounding spaces', ' 2024-12-10T16:45:00Z'],
    ['a trailing line break', '2024-12-10T16:45:00Z\n'],
    ['non-ASCII digits', '２０２４-12-10T16:45:00Z'],
    ['empty text', ''],
  ])('rejects %s', (_, text) => {
    expect(isTime(text)).toBe(false);
  });

  it.each([null, undefined, 1700000000, new Date(), ['2024-12-10T16:45:00Z'], {}])(
    'rejects values other than strings: %p',
    (value) => {
      expect(isTime(value)).toBe(false);
    },
  );

  it('accepts every time that a Date formats, from year 1 to 9999', () => {
    const min = new Date('0001-01-01T00:00:00Z');
    const max = new Date('9999-12-31T23:59:59.999Z');
    fc.assert(fc.property(fc.date({ min, max, noInvalidDate: true }), (date) => isTime(date.toISOString())));
  });

  it('accepts exactly the days that exist in the calendar', () => {
    const number = (max: number) => fc.integer({ min: 0, max });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9999 }), number(13), number(32), (year, month, day) => {
        const pad = (part: number, length = 2): string => String(part).padStart(length, '0');
        const text = `${pad(year, 4)}-${pad(month)}-${pad(day)}T12:00:00`;
        const date = new Date(0);
        date.setUTCFullYear(year, month - 1, day);
        const isThere = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && month >= 1;
        expect([text, isTime(text)]).toEqual([text, isThere]);
      }),
    );
  });
});

describe('toUtc', () => {
  it.each([
    ['2024-12-10T16:45:00', '2024-12-10T16:45:00Z'],
    ['2024-12-10t16:45:00z', '2024-12-10T16:45:00Z'],
    ['2024-12-10T16:45:00.000Z', '2024-12-10T16:45:00Z'],
    ['2024-12-10T16:45:00.50', '2024-12-10T16:45:00.5Z'],
    ['2024-12-10T16:45:00.12345600000', '2024-12-10T16:45:00.123456Z'],
    ['2024-12-10T00:15:00.5+01:30', '2024-12-09T22:45:00.5Z'],
    ['2024-12-10t16:45:00-00:00', '2024-12-10T16:45:00Z'],
    ['0001-01-01T14:00:00+14:00', '0001-01-01T00:00:00Z'],
  ])('converts %s to %s', (sent, told) => {
    expect(toUtc(sent)).toBe(told);
  });

  it.each([
    '0001-01-01',
    '1969-12-31T23:59:59.999999Z',
    '2024-12-10T17:45:00.12+01:00',
    '2024-02-29',
    '9999-12-31T23:59:59.9',
  ])('is the time of the microseconds since 1970: %s', (time) => {
    expect(isTimeOrDate(time)).toBe(true);
    expect(utcFromMicros(microsOf(time))).toBe(toUtc(time.length === 10 ? `${time}T00:00:00` : time));
  });

  it.each(['2024-02-30', '2024-1-1', '2024-12-10Z', '24-12-10', '2024-12', 20241210, null])(
    'has no date %p, which does not exist',
    (value) => {
      expect(isTimeOrDate(value)).toBe(false);
    },
  );

  it('keeps microseconds for times since 1970', () => {
    expect(utcFromMicros(1_733_849_100_000_000)).toBe('2024-12-10T16:45:00Z');
    expect(utcFromMicros(1_733_849_100_000_001)).toBe('2024-12-10T16:45:00.000001Z');
    expect(utcFromMicros(1_733_849_100_120_000)).toBe('2024-12-10T16:45:00.12Z');
  });
});

describe('a timestamp', () => {
  it.each([
    ['1700000000', '2023-11-14T22:13:20Z'],
    ['0', '1970-01-01T00:00:00Z'],
    ['-0.0', '1970-01-01T00:00:00Z'],
    ['0e999999999', '1970-01-01T00:00:00Z'],
    ['1700000000.5', '2023-11-14T22:13:20.5Z'],
    ['1700000000.123456', '2023-11-14T22:13:20.123456Z'],
    ['1700000000.1234567', '2023-11-14T22:13:20.123457Z'],
    ['1699999999.9999999', '2023-11-14T22:13:20Z'],
    ['1.7e9', '2023-11-14T22:13:20Z'],
    ['17000000000000010E-7', '2023-11-14T22:13:20.000001Z'],
    ['1e-16000', '1970-01-01T00:00:00Z'],
    ['253402300799', '9999-12-31T23:59:59Z'],
    // As a double it would end in 123444.
    ['253402300798.123456', '9999-12-31T23:59:58.123456Z'],
    ['"2023-01-01T00:00:00.000000Z"', '2023-01-01T00:00:00Z'],
    ['"2023-01-01T00:00:00"', '2023-01-01T00:00:00Z'],
    ['"2023-01-01t05:30:00.120000000+05:30"', '2023-01-01T00:00:00.12Z'],
    ['"2023-01-01T00:00:00.123456z"', '2023-01-01T00:00:00.123456Z'],
    ['"0001-01-01T00:00:00Z"', '0001-01-01T00:00:00Z'],
    ['"1969-12-31T23:59:59.5Z"', '1969-12-31T23:59:59.5Z'],
  ])('converts %s to %s', (sent = '', time) => {
    expect(isTimestamp(JSON.parse(sent))).toBe(true);
    expect(utcFromTimestamp(sent)).toBe(time);
  });

  it.each([
    '-1',
    '-1e-300',
    '253402300800',
    '253402300799.5',
    '1e400',
    '1700000000000',
    '"1700000000"',
    '""',
    '"now"',
    '"2023-02-30T00:00:00Z"',
    '"2023-01-01"',
    '"2023-01-01T00:00:00.1234567Z"',
    'true',
    'null',
    '[]',
    '{}',
  ])('is rejected if it is %s', (sent) => {
    expect(isTimestamp(JSON.parse(sent))).toBe(false);
  });

  it('is required', () => {
    expect(isTimestamp(undefined)).toBe(false);
  });
});

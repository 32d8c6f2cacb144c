import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isTime } from './time.js';

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
  ])('takes %s', (text) => {
    expect(isTime(text)).toBe(true);
  });

  it.each([
    ['a date alone', '2024-12-10'],
    ['no seconds', '2024-12-10T16:45Z'],
    ['a space for the T', '2024-12-10 16:45:00Z'],
    ['a month 13', '2024-13-10T16:45:00Z'],
    ['a month 0', '2024-00-10T16:45:00Z'],
    ['a day 0', '2024-12-00T16:45:00Z'],
    ['30 February', '2024-02-30T00:00:00Z'],
    ['29 February of no leap year', '2023-02-29T00:00:00Z'],
    ['29 February 1900', '1900-02-29T00:00:00Z'],
    ['31 April', '2024-04-31T00:00:00Z'],
    ['hour 24', '2024-12-10T24:00:00Z'],
    ['minute 60', '2024-12-10T16:60:00Z'],
    ['a leap second', '2016-12-31T23:59:60Z'],
    ['less than a microsecond', '2024-12-10T16:45:00.1234567Z'],
    ['a point without digits', '2024-12-10T16:45:00.Z'],
    ['a comma for the point', '2024-12-10T16:45:00,5Z'],
    ['an offset over 14 hours', '2024-12-10T16:45:00+15:00'],
    ['an offset without a colon', '2024-12-10T16:45:00+0200'],
    ['an offset of hours', '2024-12-10T16:45:00+02'],
    ['a zone by name', '2024-12-10T16:45:00 UTC'],
    ['the year 0', '0000-01-01T00:00:00Z'],
    ['the year 0 in a zone', '0000-12-31T23:00:00-01:00'],
    ['the year 0 in UTC', '0001-01-01T00:00:00+01:00'],
    ['the year 10000', '10000-01-01T00:00:00Z'],
    ['the year 10000 in UTC', '9999-12-31T23:59:59-01:00'],
    ['a year with a sign', '+002024-12-10T16:45:00Z'],
    ['space around', ' 2024-12-10T16:45:00Z'],
    ['a line break after', '2024-12-10T16:45:00Z\n'],
    ['other digits', '２０２４-12-10T16:45:00Z'],
    ['nothing', ''],
  ])('refuses %s', (_, text) => {
    expect(isTime(text)).toBe(false);
  });

  it.each([null, undefined, 1700000000, new Date(), ['2024-12-10T16:45:00Z'], {}])(
    'refuses what is no text: %p',
    (value) => {
      expect(isTime(value)).toBe(false);
    },
  );

  it('takes every time that a Date can tell, years 1 to 9999', () => {
    const min = new Date('0001-01-01T00:00:00Z');
    const max = new Date('9999-12-31T23:59:59.999Z');
    fc.assert(fc.property(fc.date({ min, max, noInvalidDate: true }), (date) => isTime(date.toISOString())));
  });

  it('knows which days there are', () => {
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

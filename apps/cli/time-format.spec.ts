import { describe, expect, it } from '@jest/globals';
import { TimeFormat } from './time-format.js';
import { TimeZone } from './time-zone.js';

const read = (text: string, format?: string, zone = 'UTC'): string | null =>
  new TimeFormat(format, new TimeZone(zone)).toUtc(text);

describe('a time', () => {
  it.each([
    [undefined, '2024-12-10T16:45:00.120+01:00', '2024-12-10T16:45:00.120+01:00'],
    [undefined, '2024-12-10T16:45:00', '2024-12-10T16:45:00Z'],
    ['iso', '2024-12-10 16:45:00,123456789', '2024-12-10T16:45:00.123456Z'],
    ['iso', '2024-12-10T16:45', '2024-12-10T16:45:00Z'],
    ['iso', '2024-12-10', '2024-12-10T00:00:00Z'],
    ['iso', '2024-12-10 16:45:00+0530', '2024-12-10T11:15:00Z'],
    ['iso', '2024-12-10T16:45:00-07', '2024-12-10T23:45:00Z'],
    ['s', '1700000000', '2023-11-14T22:13:20Z'],
    ['s', '1700000000.1234569', '2023-11-14T22:13:20.123456Z'],
    ['s', '-1.5', '1969-12-31T23:59:58.5Z'],
    ['ms', '1699999999999', '2023-11-14T22:13:19.999Z'],
    ['us', '1700000000123456', '2023-11-14T22:13:20.123456Z'],
    ['µs', '1700000000123456', '2023-11-14T22:13:20.123456Z'],
    ['ns', '1700000000123456789', '2023-11-14T22:13:20.123456Z'],
    ['dd.MM.yyyy HH:mm', '10.12.2024 06:45', '2024-12-10T06:45:00Z'],
    ['M/d/yy h:mm a', '3/2/24 12:06 AM', '2024-03-02T00:06:00Z'],
    ['M/d/yy h:mm a', '3/2/24 12:06 pm', '2024-03-02T12:06:00Z'],
    ['dd.MM.yy', '31.12.68', '2068-12-31T00:00:00Z'],
    ['dd.MM.yy', '01.01.69', '1969-01-01T00:00:00Z'],
    ['d.M.yy', '1.1.99', '1999-01-01T00:00:00Z'],
    ["yyyyMMdd'T'HHmmss.SSSX", '20241210T164500.5+01', '2024-12-10T15:45:00.5Z'],
  ])('of the format %s is read: %s', (format, text, time) => {
    expect(read(text, format)).toBe(time);
  });

  it.each([
    [undefined, '2024-12-10 16:45:00'],
    [undefined, '1700000000'],
    ['iso', '2024-02-30'],
    ['iso', '10.12.2024'],
    ['s', '1e9'],
    ['s', '99999999999999'],
    ['ms', ''],
    ['dd.MM.yyyy', '1.1.2024'],
    ['M/d/yyyy', '13/1/2024'],
  ])('of the format %s is not: %j', (format, text) => {
    expect(read(text, format)).toBeNull();
  });

  it.each([
    ['2024-12-10 16:45', 'iso'],
    ['1700000000', 's'],
    ['1700000000123', 'ms'],
    ['1700000000123456', 'us'],
    ['1700000000123456789', 'ns'],
    ['3/2/2024 5:06 PM', "'dd/MM/yyyy h:mm a'"],
    ['yesterday', "'dd.MM.yyyy HH:mm'"],
  ])('that is not in RFC 3339 is answered with an example of --time-format: %s', (text, example) => {
    expect(new TimeFormat(undefined, new TimeZone('UTC')).detailOf(text)).toContain(
      `for example --time-format ${example}`,
    );
  });
});

describe('a time without a zone', () => {
  it.each([
    ['Europe/Berlin', '2024-07-01 12:00', '2024-07-01T10:00:00Z'],
    ['Europe/Berlin', '2024-12-01 12:00', '2024-12-01T11:00:00Z'],
    ['+05:30', '2024-12-01 12:00', '2024-12-01T06:30:00Z'],
    ['America/New_York', '2024-03-10 01:59', '2024-03-10T06:59:00Z'],
    ['Asia/Kathmandu', '1985-12-31 23:50', '1985-12-31T18:20:00Z'],
  ])('is of --time-zone %s: %s', (zone, text, time) => {
    expect(read(text, 'iso', zone)).toBe(time);
  });

  it.each([
    ['is the first of two', '2024-10-27 02:30', '2024-10-27T00:30:00Z'],
    ['before both', '2024-10-27 01:59', '2024-10-26T23:59:00Z'],
    ['after both', '2024-10-27 03:00', '2024-10-27T02:00:00Z'],
    ['that clocks skip is as much later', '2024-03-31 02:30', '2024-03-31T01:30:00Z'],
    ['after the skipped hour', '2024-03-31 03:00', '2024-03-31T01:00:00Z'],
  ])('%s', (_, text, time) => {
    expect(read(text, 'iso', 'Europe/Berlin')).toBe(time);
  });
});

it.each(['HH:mm', 'yyyy-MM', 'dd.dd.yyyy', ''])('rejects the format %j', (format) => {
  expect(() => read('', format)).toThrow(/^--time-format /);
});

it('rejects a zone that does not exist', () => {
  expect(() => new TimeZone('Europe/Atlantis')).toThrow(/^--time-zone must be a time zone such as Europe\/Berlin/);
});

import { describe, expect, it } from '@jest/globals';
import { fromObject, isTimestamp, isVersion, timeIn, toObject, type FirmwareEvent } from './firmware.js';

const EVENT: FirmwareEvent = {
  deviceId: 'd-1',
  version: '1.0.3',
  time: '2023-01-01T00:00:00.5Z',
  status: 'updated',
};

/** What the database gives back of an event. */
function stored(event: FirmwareEvent): Parameters<typeof fromObject>[0] {
  const { subject, observedAt, data } = toObject(event);
  return { subject, observed_at: observedAt ?? '', data };
}

describe('an event as an object', () => {
  it('is about the device, at its time, with its version and its status', () => {
    expect(toObject(EVENT)).toEqual({
      objectId: expect.stringMatching(/^firmware-[\w-]{32}$/),
      subject: 'd-1',
      observedAt: '2023-01-01T00:00:00.5Z',
      data: '[{"key":"version","value":"1.0.3"},{"key":"status","value":"updated"}]',
    });
    expect(toObject({ ...EVENT, status: null }).data).toBe('[{"key":"version","value":"1.0.3"}]');
  });

  it('has the same id as the same event, and no other', () => {
    const others = [
      { deviceId: 'd-2' },
      { version: '1.0.4' },
      { time: '2023-01-01T00:00:00Z' },
      { status: null },
      { status: 'null' },
    ];
    const ids = [EVENT, { ...EVENT }, ...others.map((other) => ({ ...EVENT, ...other }))].map(
      (event) => toObject(event).objectId,
    );
    expect(ids[1]).toBe(ids[0]);
    expect(new Set(ids).size).toBe(1 + others.length);
  });

  it.each([EVENT, { ...EVENT, status: null }, { ...EVENT, deviceId: 'ü/"\\', status: '"\n' }])(
    'is read back as it was: %j',
    (event) => {
      expect(fromObject(stored(event))).toEqual(event);
    },
  );

  it.each([
    ['a version that is a number', '[{"key":"version","value":1.0}]'],
    ['no version', '[{"key":"status","value":"updated"}]'],
    ['a version that is null', '[{"key":"version","value":null}]'],
    ['a status that is a truth', '[{"key":"version","value":"1.0.0"},{"key":"status","value":true}]'],
  ])('is none with %s', (_, data) => {
    expect(fromObject({ subject: 'd-1', observed_at: '2023-01-01T00:00:00Z', data })).toBeUndefined();
  });

  it('is none about nothing', () => {
    expect(fromObject({ ...stored(EVENT), subject: null })).toBeUndefined();
  });
});

describe('a version', () => {
  it.each([
    '0.0.0',
    '1.2.3',
    '10.20.30-alpha.1',
    '1.0.0-0A.is.legal',
    '1.0.0--',
    '1.0.0+build.007',
    '1.0.0-rc.1+exp.sha.5114f85',
    `1.0.0-${'a'.repeat(249)}`,
  ])('may be %s', (version) => {
    expect(isVersion(version)).toBe(true);
  });

  it.each([
    '',
    '1',
    '1.2',
    '1.2.3.4',
    'v1.2.3',
    'V1.2.3',
    '=1.2.3',
    ' 1.2.3',
    '1.2.3 ',
    '1.2.3\n',
    '\ufeff1.2.3',
    '1.2.3- a',
    '01.2.3',
    '1.2.3-01',
    '1.2.3-',
    '1.2.3+',
    '1.2.3-ü',
    '-1.2.3',
    '1.2.x',
    'latest',
    `1.0.0-${'a'.repeat(250)}`,
    1,
    null,
    true,
    undefined,
    ['1.0.0'],
  ])('is not %j', (version) => {
    expect(isVersion(version)).toBe(false);
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
    // A double would end in 123444.
    ['253402300798.123456', '9999-12-31T23:59:58.123456Z'],
    ['"2023-01-01T00:00:00.000000Z"', '2023-01-01T00:00:00Z'],
    ['"2023-01-01T00:00:00"', '2023-01-01T00:00:00Z'],
    ['"2023-01-01t05:30:00.120000000+05:30"', '2023-01-01T00:00:00.12Z'],
    ['"2023-01-01T00:00:00.123456z"', '2023-01-01T00:00:00.123456Z'],
    ['"0001-01-01T00:00:00Z"', '0001-01-01T00:00:00Z'],
    ['"1969-12-31T23:59:59.5Z"', '1969-12-31T23:59:59.5Z'],
  ])('%s is %s', (sent = '', time) => {
    expect(isTimestamp(JSON.parse(sent))).toBe(true);
    expect(timeIn(` {"version":{"timestamp":1},"timestamp": ${sent} }`)).toBe(time);
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
  ])('is not %s', (sent) => {
    expect(isTimestamp(JSON.parse(sent))).toBe(false);
  });

  it('cannot be left out', () => {
    expect(isTimestamp(undefined)).toBe(false);
  });
});

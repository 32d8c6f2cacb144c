import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import { isVersion } from './firmware.dto.js';
import { fromObject, toObject, type FirmwareEvent } from './firmware.js';

const EVENT: FirmwareEvent = {
  device_id: 'd-1',
  version: '1.0.3',
  timestamp: '2023-01-01T00:00:00.5Z',
  status: 'updated',
};

/** The row that stores an event. */
function stored(event: FirmwareEvent): Parameters<typeof fromObject>[0] {
  const { objectId, subject, observedAt, data } = toObject(event);
  return { object_id: objectId, subject, observed_at: observedAt ?? '', data };
}

describe('an event as an object', () => {
  it('has the device as subject, the time of the event, and its version and status as data', () => {
    expect(toObject(EVENT)).toEqual({
      objectId: expect.stringMatching(/^firmware-[\w-]{32}$/),
      subject: 'd-1',
      observedAt: '2023-01-01T00:00:00.5Z',
      data: '[{"key":"version","value":"1.0.3"},{"key":"status","value":"updated"}]',
    });
    expect(toObject({ ...EVENT, status: null }).data).toBe('[{"key":"version","value":"1.0.3"}]');
  });

  it('has the same id as an equal event, and another id than a different event', () => {
    const others = [
      { device_id: 'd-2' },
      { version: '1.0.4' },
      { timestamp: '2023-01-01T00:00:00Z' },
      { status: null },
      { status: 'null' },
    ];
    const ids = [EVENT, { ...EVENT }, ...others.map((other) => ({ ...EVENT, ...other }))].map(
      (event) => toObject(event).objectId,
    );
    expect(ids[1]).toBe(ids[0]);
    expect(new Set(ids).size).toBe(1 + others.length);
  });

  it.each([EVENT, { ...EVENT, status: null }, { ...EVENT, device_id: 'ü/"\\', status: '"\n' }])(
    'reads an event back unchanged: %j',
    (event) => {
      expect(fromObject(stored(event))).toEqual({ id: toObject(event).objectId, ...event });
    },
  );

  it.each([
    ['a numeric version', '[{"key":"version","value":1.0}]'],
    ['no version', '[{"key":"status","value":"updated"}]'],
    ['a null version', '[{"key":"version","value":null}]'],
    ['a boolean status', '[{"key":"version","value":"1.0.0"},{"key":"status","value":true}]'],
  ])('is not an event with %s', (_, data) => {
    expect(fromObject({ ...stored(EVENT), data })).toBeUndefined();
  });

  it('is not an event without a subject', () => {
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
    '9007199254740993.18446744073709551616.0',
    '1.0.0-99999999999999999999999',
    '1.0.0+build.007',
    '1.0.0-rc.1+exp.sha.5114f85',
    `1.0.0-${'a'.repeat(249)}`,
  ])('accepts %s', (version) => {
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
  ])('rejects %j', (version) => {
    expect(isVersion(version)).toBe(false);
  });
});

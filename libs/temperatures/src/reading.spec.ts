import { Problem } from '#http';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fromObject, readingText, roomOf, toObject } from './reading.js';

const reading = { temperature: '10.50', recordedAt: '2024-12-10T16:45:00Z' };

function rejectionOf(building: string, room: string): string {
  try {
    roomOf({ building, room });
    return 'accepted';
  } catch (error) {
    return error instanceof Problem ? error.slug : 'another error';
  }
}

describe('a reading', () => {
  it('is read back from its object with every digit', () => {
    const { data, observedAt } = toObject(roomOf({ building: 'HQ', room: 'lab' }), reading);
    expect(fromObject({ data, observed_at: observedAt ?? '' })).toEqual(reading);
  });

  it('is stored as an object with its room as subject, and building, room and temperature as data', () => {
    const { objectId, ...rest } = toObject(roomOf({ building: 'H"Q', room: 'l\\ab' }), reading);
    expect(objectId).toMatch(/^temperature-[\w-]{32}$/);
    expect(rest).toEqual({
      subject: 'H"Q/l\\ab',
      observedAt: reading.recordedAt,
      data: '[{"key":"building","value":"H\\"Q"},{"key":"room","value":"l\\\\ab"},{"key":"temperature","value":10.50}]',
    });
  });

  it('has an id derived from room and time, not from the temperature', () => {
    const room = roomOf({ building: 'HQ', room: 'lab' });
    const id = (more: object): string => toObject(room, { ...reading, ...more }).objectId;
    expect(id({ temperature: '99' })).toBe(id({}));
    expect(id({ recordedAt: '2024-12-10T16:45:00.000001Z' })).not.toBe(id({}));
  });

  it.each(['"10.5"', 'true', 'null', '"-1"'])('is not read from an object whose temperature is %s', (value) => {
    const data = `[{"key":"room","value":1},{"key":"temperature","value":${value}}]`;
    expect(fromObject({ data, observed_at: '2024-12-10T16:45:00Z' })).toBeUndefined();
  });

  it('is returned as JSON with the names from the path', () => {
    const text = readingText(roomOf({ building: '"', room: '\u2028' }), reading);
    expect(JSON.parse(text)).toEqual({
      building: '"',
      room: '\u2028',
      temperature: 10.5,
      recorded_at: reading.recordedAt,
    });
  });
});

describe('a room', () => {
  it('has a subject and ids that differ from those of every other pair of names', () => {
    const name = fc.string({ unit: fc.constantFrom('/', '%', '2', 'F', 'a', '"', ','), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(name, name, name, name, (a, b, c, d) => {
        fc.pre(a !== c || b !== d);
        const [one, other] = [roomOf({ building: a, room: b }), roomOf({ building: c, room: d })];
        expect(one.subject).not.toBe(other.subject);
        expect(toObject(one, reading).objectId).not.toBe(toObject(other, reading).objectId);
      }),
    );
    expect(roomOf({ building: 'HQ', room: 'lab' }).subject).toBe('HQ/lab');
    expect(roomOf({ building: 'a/b', room: '%' }).subject).toBe('a%2Fb/%25');
  });

  it('rejects names that are not valid ids or that are too long in total', () => {
    expect(rejectionOf('', 'lab')).toBe('invalid-path');
    expect(rejectionOf('HQ', 'a\u0007b')).toBe('invalid-path');
    expect(rejectionOf('HQ', 'x'.repeat(256))).toBe('invalid-path');
    expect(rejectionOf('x'.repeat(127), '👢'.repeat(127))).toBe('accepted');
    expect(rejectionOf('x'.repeat(128), 'y'.repeat(127))).toBe('invalid-path');
    expect(rejectionOf('/'.repeat(84), 'lab')).toBe('invalid-path');
  });
});

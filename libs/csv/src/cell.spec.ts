import { describe, expect, it } from '@jest/globals';
import { cellJson } from './cell.js';

describe('the value of a cell', () => {
  it.each(['0', '-0', '42', '0.1000', '12345678901234567890', '1e400', '-1.50E-3', 'true', 'false'])(
    'is a number with every digit, or a boolean: %s',
    (cell) => {
      expect(cellJson(cell, true)).toBe(cell);
      expect(cellJson(cell, false)).toBe(`"${cell}"`);
    },
  );

  it.each([
    '007',
    '+49 30 1234',
    '1,5',
    '.5',
    '5.',
    ' 42',
    '42 ',
    '0x1F',
    'NaN',
    'Infinity',
    'TRUE',
    'null',
    '-',
    '1e',
    '2026-11-26',
  ])('is text unless it is a number in JSON: %j', (cell) => {
    expect(cellJson(cell, true)).toBe(JSON.stringify(cell));
  });

  it.each(['1e131072', '12e4567890', '1e-16384', '9'.repeat(131_073)])(
    'is text where PostgreSQL cannot hold the number: %.12s',
    (cell) => {
      expect(cellJson(cell, true)).toBe(`"${cell}"`);
    },
  );

  it('is null for an empty cell, and empty text for one with quotation marks or without types', () => {
    expect([cellJson(null, true), cellJson('', true)]).toEqual(['null', '""']);
    expect([cellJson(null, false), cellJson('', false)]).toEqual(['""', '""']);
  });
});

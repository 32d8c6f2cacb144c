import { describe, expect, it } from '@jest/globals';
import { parseJson } from '../api/json.js';
import { numberText } from './number-text.js';

describe('a number for a person', () => {
  it.each([
    ['9007199254740993', '9,007,199,254,740,993'],
    ['-12345678901234567890', '-12,345,678,901,234,567,890'],
    ['0.123456789', '0.123457'],
    ['1234.5', '1,234.5'],
    ['null', ''],
  ])('%s is %j', (json, text) => {
    expect(numberText(parseJson(json))).toBe(text);
  });
});

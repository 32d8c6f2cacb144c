import { describe, expect, it } from '@jest/globals';
import type { Filter } from './filter.js';
import { FilterError, parseFilter, type FilterParameters } from './parse-filter.js';

const pair = (key: string | null, value: string | null): Filter => ({ kind: 'pair', key, value });

function refusalOf(parameters: FilterParameters): string {
  try {
    parseFilter(parameters);
  } catch (error) {
    if (error instanceof FilterError) return `${error.parameter} ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('parseFilter', () => {
  it('is everything when nothing is asked', () => {
    expect(parseFilter({})).toEqual({ kind: 'and', of: [] });
  });

  it('refuses a value nested as deep as a query can be', () => {
    const depth = 50_000;
    const data = `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(refusalOf({ data })).toBe('data must give "a" text, a number, true, false or null');
  });

  it('joins all parts that are asked for', () => {
    const filter = parseFilter({
      data: '{"type":"shoe"}',
      key: 'size',
      batch_id: 'b',
      subject: 's',
      observed_from: '2024-05-01T00:00:00Z',
    });
    expect(filter).toEqual({
      kind: 'and',
      of: [
        { kind: 'and', of: [pair('type', '"shoe"')] },
        pair('size', null),
        { kind: 'batch', batchId: 'b' },
        { kind: 'subject', subject: 's' },
        { kind: 'observed', from: '2024-05-01T00:00:00Z', until: null },
      ],
    });
  });

  it('keeps the values of data to the letter, and a name given twice as two pairs', () => {
    const data = ' { "n" : 0.1000 , "n":12345678901234567890,"\\u0061":"\\u00e9","z":null } ';
    expect(parseFilter({ data, match: 'any' })).toEqual({
      kind: 'and',
      of: [
        {
          kind: 'or',
          of: [pair('n', '0.1000'), pair('n', '12345678901234567890'), pair('a', '"\\u00e9"'), pair('z', 'null')],
        },
      ],
    });
  });

  it.each([
    ['42', ['"42"', '42']],
    ['-0.50e+3', ['"-0.50e+3"', '-0.50e+3']],
    ['true', ['"true"', 'true']],
    ['null', ['"null"', 'null']],
    ['1e400', ['"1e400"', '1e400']],
    ['1e200000', ['"1e200000"']],
    ['042', ['"042"']],
    ['+1', ['"+1"']],
    ['.5', ['".5"']],
    ['5.', ['"5."']],
    [' 42', ['" 42"']],
    ['42\n', ['"42\\n"']],
    ['0x10', ['"0x10"']],
    ['NaN', ['"NaN"']],
    ['True', ['"True"']],
    ['{}', ['"{}"']],
    ['"a"', ['"\\"a\\""']],
    ['', ['""']],
  ])('reads the text %j as what it may stand for', (value, readings) => {
    expect(parseFilter({ value })).toEqual({
      kind: 'and',
      of: [{ kind: 'or', of: readings.map((one) => pair(null, one)) }],
    });
  });

  it.each<[FilterParameters, RegExp]>([
    [{ data: '{' }, /^data must be a JSON object/],
    [{ data: '[]' }, /^data must be a JSON object/],
    [{ data: '{"a":"\\u0000"}' }, /^data .*\/a contains U\+0000/],
    [{ data: '{"a":1e200000}' }, /^data .*\/a must be a number of at most 131072 digits/],
    [{ data: '{"a":1,"$gte":1}' }, /^data .*\$gte/],
    [{ data: '{"a":{"$gte":1}}' }, /^data .*"a"/],
    [{ data: '{"a":1,"a":[1]}' }, /^data .*"a"/],
    [{ data: '{}', match: 'any' }, /^data must have a pair/],
    [{ match: 'all' }, /^match needs data/],
    [{ key: '\0' }, /^key holds the character U\+0000/],
    [{ value: 'a\0' }, /^value holds/],
    [{ batch_id: '\0' }, /^batch_id holds/],
    [{ subject: '\0' }, /^subject holds/],
  ])('refuses %j by name', (parameters, refusal) => {
    expect(refusalOf(parameters)).toMatch(refusal);
  });
});

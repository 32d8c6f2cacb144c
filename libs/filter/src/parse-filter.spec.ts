import { describe, expect, it } from '@jest/globals';
import type { Filter } from './filter.js';
import { FilterError, parseFilter, type FilterParameters } from './parse-filter.js';

const pair = (key: string | null, value: string | null): Filter => ({ kind: 'pair', key, value });

/** The text of `data` with this number of pairs. */
function pairsOf(count: number): string {
  return `{${Array.from({ length: count }, (_, i) => `"k":${String(i)}`).join()}}`;
}

function errorOf(parameters: FilterParameters): string {
  try {
    parseFilter(parameters);
  } catch (error) {
    if (error instanceof FilterError) return `${error.parameter} ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('parseFilter', () => {
  it('returns a filter that matches everything without parameters', () => {
    expect(parseFilter({})).toEqual({ kind: 'and', of: [] });
  });

  it('rejects a value nested 50,000 levels deep', () => {
    const depth = 50_000;
    const data = `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(errorOf({ data })).toBe('data must have text, a number, true, false or null as the value of "a"');
  });

  it('combines all parameters', () => {
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

  it('keeps the notation of values in data, and repeated names as two pairs', () => {
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
  ])('matches %j as text, and as the scalar with the same notation', (value, scalars) => {
    expect(parseFilter({ value })).toEqual({
      kind: 'and',
      of: [{ kind: 'or', of: scalars.map((one) => pair(null, one)) }],
    });
  });

  it('accepts up to 100 pairs', () => {
    expect(errorOf({ data: pairsOf(101) })).toMatch(/^data must have at most 100 pairs; got 101/);
    expect(errorOf({ data: pairsOf(700), match: 'any' })).toMatch(/^data must have at most 100 pairs; got 700/);
    expect(parseFilter({ data: pairsOf(100) })).toMatchObject({ of: [{ of: { length: 100 } }] });
  });

  it.each<[FilterParameters, RegExp]>([
    [{ data: '{' }, /^data must be a JSON object/],
    [{ data: '[]' }, /^data must be a JSON object/],
    [{ data: '{"a":"\\u0000"}' }, /^data is invalid at \/a: .*U\+0000/],
    [{ data: '{"a":1e200000}' }, /^data is invalid at \/a: .*number/],
    [{ data: '{"a":1,"$gte":1}' }, /^data .*\$gte/],
    [{ data: '{"a":{"$gte":1}}' }, /^data .*"a"/],
    [{ data: '{"a":1,"a":[1]}' }, /^data .*"a"/],
    [{ data: '{}', match: 'any' }, /^data must have at least one pair/],
    [{ match: 'all' }, /^match requires data/],
    [{ key: '\0' }, /^key must not contain U\+0000/],
    [{ value: 'a\0' }, /^value must not/],
    [{ batch_id: '\0' }, /^batch_id must not/],
    [{ subject: '\0' }, /^subject must not/],
  ])('rejects %j and names the parameter', (parameters, expected) => {
    expect(errorOf(parameters)).toMatch(expected);
  });
});

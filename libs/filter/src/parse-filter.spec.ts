import { describe, expect, it } from '@jest/globals';
import type { Filter, ValueFilter, ValueTest } from './filter.js';
import { FilterError, type FilterParameters } from './filter-parameters.js';
import { parseFilter } from './parse-filter.js';

const of = (key: string | null, test: ValueTest, isLiteral = false): ValueFilter => ({
  kind: 'value',
  key,
  isLiteral,
  test,
});
const eq = (key: string | null, value: string): ValueFilter => of(key, { op: 'eq', value });
const not = (filter: Filter): Filter => ({ kind: 'not', of: filter });

function conditionsOf(data: string): readonly Filter[] {
  const filter = parseFilter({ data });
  return filter.kind === 'and' ? filter.of : [filter];
}

/** The text of `data` with this number of pairs. */
function pairsOf(count: number): string {
  return `{${Array.from({ length: count }, (_, i) => `"k":${String(i)}`).join()}}`;
}

function nested(levels: number, inner: string): string {
  return '{"$not":'.repeat(levels) + inner + '}'.repeat(levels);
}

function errorOf(parameters: FilterParameters): string {
  try {
    parseFilter(parameters);
  } catch (error) {
    if (error instanceof FilterError) return `${error.parameter}${error.pointer} ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('parseFilter', () => {
  it('returns a filter that matches everything without parameters', () => {
    expect(parseFilter({})).toEqual({ kind: 'and', of: [] });
  });

  it('combines all parameters', () => {
    const filter = parseFilter({
      data: '{"type":"shoe"}',
      key: 'size',
      batch_id: 'b',
      subject: 's',
      subject_prefix: 'sh',
      observed_from: '2024-05-01T00:00:00Z',
    });
    expect(filter).toEqual({
      kind: 'and',
      of: [
        eq('type', '"shoe"'),
        of('size', { op: 'exists' }),
        { kind: 'batch', batchId: 'b' },
        { kind: 'subject', subject: 's' },
        { kind: 'subject_prefix', prefix: 'sh' },
        { kind: 'observed', from: '2024-05-01T00:00:00Z', until: null },
      ],
    });
  });

  it('keeps the digits of numbers, and repeated names as two conditions', () => {
    const data = ' { "n" : 0.1000 , "n":12345678901234567890,"\\u0061":"\\u00e9","z":null } ';
    const filters = [eq('n', '0.1000'), eq('n', '12345678901234567890'), eq('a', '"é"'), eq('z', 'null')];
    expect(parseFilter({ data, match: 'any' })).toEqual({ kind: 'and', of: [{ kind: 'or', of: filters }] });
    expect(parseFilter({ data })).toEqual({ kind: 'and', of: filters });
  });

  it.each<[string, Filter[]]>([
    ['{"a":{"$eq":1}}', [eq('a', '1')]],
    ['{"a":{"$eq":{"$x":1}}}', [eq('a', '{"$x":1}')]],
    ['{"a":{"b":1}}', [eq('a', '{"b":1}')]],
    ['{"a":{"gte":1}}', [eq('a', '{"gte":1}')]],
    ['{"a":{}}', [eq('a', '{}')]],
    ['{"a":[1, 2]}', [eq('a', '[1, 2]')]],
    ['{"a":{"$ne":null}}', [not(eq('a', 'null'))]],
    ['{"a":{"$in":[1,"x",[2]]}}', [of('a', { op: 'in', values: ['1', '"x"', '[2]'] })]],
    ['{"a":{"$in":[]}}', [of('a', { op: 'in', values: [] })]],
    ['{"a":{"$nin":[1]}}', [not(of('a', { op: 'in', values: ['1'] }))]],
    ['{"a":{"$gte":1.50,"$lt":"x"}}', [of('a', { op: 'gte', value: '1.50' }), of('a', { op: 'lt', value: '"x"' })]],
    ['{"a":{"$gt":-1,"$lte":2}}', [of('a', { op: 'gt', value: '-1' }), of('a', { op: 'lte', value: '2' })]],
    ['{"a":{"$exists":true}}', [of('a', { op: 'exists' })]],
    ['{"a":{"$exists":false}}', [not(of('a', { op: 'exists' }))]],
    ['{"a":{"$prefix":"x"}}', [of('a', { op: 'prefix', text: 'x' })]],
    ['{"a":{"$contains":"x"}}', [of('a', { op: 'contains', text: 'x' })]],
    [
      '{"a":{"$not":{"$gt":1,"$lt":5}}}',
      [not({ kind: 'and', of: [of('a', { op: 'gt', value: '1' }), of('a', { op: 'lt', value: '5' })] })],
    ],
    ['{"$and":[{"a":1},{"b":2}]}', [eq('a', '1'), eq('b', '2')]],
    [
      '{"$or":[{"a":1,"b":2},{"c":3}]}',
      [{ kind: 'or', of: [{ kind: 'and', of: [eq('a', '1'), eq('b', '2')] }, eq('c', '3')] }],
    ],
    ['{"$nor":[{"a":1},{}]}', [not({ kind: 'or', of: [eq('a', '1'), { kind: 'and', of: [] }] })]],
    ['{"$not":{"a":1}}', [not(eq('a', '1'))]],
    ['{"$pair":{"key":"$if","value":1}}', [of('$if', { op: 'eq', value: '1' }, true)]],
    [
      '{"$pair":{"value":{"$gt":1,"$ne":2},"key":"a.b"}}',
      [of('a.b', { op: 'gt', value: '1' }, true), not(of('a.b', { op: 'eq', value: '2' }, true))],
    ],
  ])('parses %s', (data, filters) => {
    expect(conditionsOf(data)).toEqual(filters);
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
  ])('matches %j as text, and as the scalar with the same notation', (value, values) => {
    const test: ValueTest = values.length === 1 ? { op: 'eq', value: values[0] ?? '' } : { op: 'in', values };
    expect(parseFilter({ value })).toEqual({ kind: 'and', of: [of(null, test)] });
  });

  it('accepts up to 100 conditions, of which each value of a list is one', () => {
    expect(errorOf({ data: pairsOf(101) })).toMatch(/^data\/k exceeds the limit of 100 conditions/);
    expect(errorOf({ data: pairsOf(700), match: 'any' })).toMatch(/^data\/k exceeds the limit of 100/);
    expect(parseFilter({ data: pairsOf(100) })).toMatchObject({ of: { length: 100 } });
    const list = (length: number): string => JSON.stringify(Array<number>(length).fill(1));
    expect(errorOf({ data: `{"a":{"$in":${list(100)}}}` })).toBe('accepted');
    expect(errorOf({ data: `{"b":1,"a":{"$nin":${list(100)}}}` })).toMatch(/^data\/a\/\$nin\/99 exceeds the limit/);
    expect(errorOf({ data: `{"$or":[${'{},'.repeat(100)}{}]}` })).toMatch(/^data\/\$or\/100 exceeds the limit/);
  });

  it('counts a condition for each place that a key with dots stands for', () => {
    const list = (length: number): string => JSON.stringify(Array<number>(length).fill(1));
    const key = 'a'.concat('.a'.repeat(19));
    expect(errorOf({ data: `{"a.b":{"$in":${list(50)}}}` })).toBe('accepted');
    expect(errorOf({ data: `{"a.b":{"$in":${list(51)}}}` })).toMatch(
      /^data\/a.b\/\$in\/50 exceeds the limit of 100 cond/,
    );
    expect(errorOf({ data: `{"${key}":{"$in":${list(5)}}}` })).toBe('accepted');
    expect(errorOf({ data: `{"${key}":{"$in":${list(6)}}}` })).toMatch(/\/5 exceeds the limit of 100 conditions/);
    expect(errorOf({ data: `{"$pair":{"key":"a.b","value":{"$in":${list(100)}}}}` })).toBe('accepted');
    expect(
      errorOf({ data: `{"$or":[{"${key}":1},{"${key}":{"$gt":1,"$lt":3,"$prefix":"a","$exists":true,"$ne":3}}]}` }),
    ).toMatch(/^data\/\$or\/1\/.*\/\$ne exceeds the limit of 100/);
  });

  it('accepts keys with dots and their values up to 262,144 characters, counted for each place of the key', () => {
    const text = (length: number): string => JSON.stringify('x'.repeat(length - 2));
    const half = 131_072;
    const excess = 'exceeds the limit of 262144 characters for keys with dots';
    expect(errorOf({ data: `{"a.b":${text(half - 3)}}` })).toBe('accepted');
    expect(errorOf({ data: `{"a.b":${text(half - 2)}}` })).toContain(`data/a.b ${excess}`);
    expect(errorOf({ data: `{"a.b":{"$in":[1,${text(half - 3)}]}}` })).toContain(`data/a.b/$in/1 ${excess}`);
    expect(errorOf({ data: `{"a.b":{"$prefix":${text(half)}}}` })).toContain(`data/a.b/$prefix ${excess}`);
    expect(errorOf({ data: `{"a.b.${'c'.repeat(half)}":{"$exists":true}}` })).toContain(excess);
    expect(errorOf({ data: `{"a":${text(500_000)}}` })).toBe('accepted');
    expect(errorOf({ key: 'a.b', value: 'x'.repeat(half) })).toContain(`value ${excess}`);
    expect(errorOf({ key: 'a', value: 'x'.repeat(half) })).toBe('accepted');
  });

  it('accepts up to 20 $contains', () => {
    const data = (count: number): string => `{"$or":[${Array<string>(count).fill('{"a":{"$contains":"x"}}').join()}]}`;
    expect(errorOf({ data: data(20) })).toBe('accepted');
    expect(errorOf({ data: data(21) })).toBe('data/$or/20/a/$contains exceeds the limit of 20 $contains');
  });

  it('accepts 8 levels of logical operators', () => {
    expect(errorOf({ data: nested(8, '{"a":1}') })).toBe('accepted');
    expect(errorOf({ data: nested(9, '{"a":1}') })).toBe(
      `data${'/$not'.repeat(9)} must not nest more than 8 of $and, $or, $nor and $not`,
    );
    expect(errorOf({ data: nested(7, '{"a":{"$not":{"$gt":1}}}') })).toBe('accepted');
    expect(errorOf({ data: nested(8, '{"a":{"$not":{"$gt":1}}}') })).toMatch(/\/a\/\$not must not nest more than 8/);
    expect(errorOf({ data: `{"$or":[${nested(8, '{"a":1}')}]}` })).toMatch(/must not nest more than 8/);
  });

  it('accepts values nested as deep as stored ones', () => {
    const value = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(errorOf({ data: `{"a":${value(16)}}` })).toBe('accepted');
    expect(errorOf({ data: `{"a":${value(17)}}` })).toMatch(/^data\/a must not nest more than 16 levels/);
    expect(errorOf({ data: `{"a":{"$in":[${value(17)}]}}` })).toMatch(/^data\/a\/\$in\/0 must not nest/);
  });

  it.each([
    ['{"a":', '[', ']', '}'],
    ['', '{"$or":[', ']}', ''],
    ['', '{"$not":', '}', ''],
    ['{"a":{"$eq":', '{"a":', '1}', '}}'],
  ])('rejects deep nesting without recursion: %s%s', (start, open, close, end) => {
    const depth = 50_000;
    expect(errorOf({ data: start + open.repeat(depth) + close.repeat(depth) + end })).toMatch(
      /^data must not nest more than 64 levels/,
    );
  });

  it('rejects many values before they are parsed', () => {
    expect(errorOf({ data: `{"$or":[${'{},'.repeat(200_000)}{}]}` })).toMatch(/^data must not have more than 100000/);
  });

  it.each<[FilterParameters, RegExp]>([
    [{ data: '{' }, /^data must be a JSON object/],
    [{ data: '[]' }, /^data must be a JSON object/],
    [{ data: '{"a":"\\u0000"}' }, /^data\/a contains U\+0000/],
    [{ data: '{"a\\u0000":1}' }, /^data\/a\0 contains U\+0000/],
    [{ data: '{"\\ud800":{"$gt":1}}' }, /^data\/\ud800 contains an unpaired surrogate/],
    [{ data: '{"$pair":{"key":"\\u0000","value":1}}' }, /^data\/\$pair\/value contains U\+0000/],
    [{ data: '{"a":{"$in":["\\u0000"]}}' }, /^data\/a\/\$in\/0 contains U\+0000/],
    [{ data: '{"a":{"$prefix":"\\u0000"}}' }, /^data\/a\/\$prefix contains U\+0000/],
    [{ data: '{"a":{"$eq":{"b":"\\ud800"}}}' }, /^data\/a\/\$eq\/b contains an unpaired/],
    [{ data: '{"a":{"$eq":{"b":1,"b":2}}}' }, /^data\/a\/\$eq\/b appears twice/],
    [{ data: '{"a":1e200000}' }, /^data\/a must be a number of at most/],
    [{ data: '{"a":1,"$gte":1}' }, /^data\/\$gte belongs to a key, such as \{"cost":\{"\$gte":…\}\}/],
    [{ data: '{"$near":1}' }, /^data\/\$near is not an operator; .*\{"\$pair":\{"key":"\$near","value":…\}\}/],
    [{ data: '{"a":{"$near":1}}' }, /^data\/a\/\$near is not an operator; the operators of a value are \$eq, /],
    [{ data: '{"a":{"$gte":[1]}}' }, /^data\/a\/\$gte must be a number or text, such as \{"a":\{"\$gte":10\}\}/],
    [{ data: '{"a":{"$lt":null}}' }, /^data\/a\/\$lt must be a number or text/],
    [{ data: '{"a":{"$lt":true}}' }, /^data\/a\/\$lt must be a number or text/],
    [{ data: '{"a":{">":10}}' }, /^data\/a\/> is not an operator; write \{"a":\{"\$gt":10\}\}/],
    [{ data: '{"a":{">=":10,"<":5}}' }, /^data\/a\/>= is not an operator; write \{"a":\{"\$gte":10\}\}/],
    [{ data: '{"$pair":{"key":"a","value":{"$gt":[]}}}' }, /such as \{"\$pair":\{"key":"a","value":\{"\$gt":10\}\}\}/],
    [{ data: '{"a":{"$in":1}}' }, /^data\/a\/\$in must be a list of values/],
    [{ data: '{"a":{"$exists":1}}' }, /^data\/a\/\$exists must be true or false/],
    [{ data: '{"a":{"$prefix":1}}' }, /^data\/a\/\$prefix must be text/],
    [{ data: '{"a":{"$contains":["x"]}}' }, /^data\/a\/\$contains must be text/],
    [{ data: `{"a":{"$contains":"${'x'.repeat(1_001)}"}}` }, /^data\/a\/\$contains must have at most 1000/],
    [{ data: '{"a":{"$not":1}}' }, /^data\/a\/\$not must be an object of operators/],
    [{ data: '{"a":{"$not":{}}}' }, /^data\/a\/\$not must be an object of operators/],
    [{ data: '{"a":{"$not":{"b":1}}}' }, /^data\/a\/\$not must be an object of operators/],
    [{ data: '{"a":{"$gt":1,"b":2}}' }, /^data\/a\/b must be an operator, because other members are/],
    [{ data: '{"a":{"b":{"$gt":1}}}' }, /^data\/a\/b\/\$gt is inside a value.*"owner\.city"/],
    [{ data: '{"a":[{"$gt":1}]}' }, /^data\/a\/0\/\$gt is inside a value/],
    [{ data: '{"$or":{"a":1}}' }, /^data\/\$or must be a list of at least one filter/],
    [{ data: '{"$and":[]}' }, /^data\/\$and must be a list of at least one filter/],
    [{ data: '{"$nor":[1]}' }, /^data\/\$nor\/0 must be a filter/],
    [{ data: '{"$not":[1]}' }, /^data\/\$not must be a filter/],
    [{ data: '{"$pair":1}' }, /^data\/\$pair must be an object of a key and a value/],
    [{ data: '{"$pair":{"key":"a"}}' }, /^data\/\$pair must be an object of a key and a value/],
    [{ data: '{"$pair":{"key":1,"value":1}}' }, /^data\/\$pair\/key must be text/],
    [{ data: '{"$pair":{"key":"a","value":1,"x":1}}' }, /^data\/\$pair\/x must be an object of a key/],
    [{ data: '{"$pair":{"key":"a","value":1,"value":2}}' }, /^data\/\$pair\/value must be an object of a key/],
    [{ data: '{}', match: 'any' }, /^data must have at least one condition/],
    [{ match: 'all' }, /^match requires data/],
    [{ key: '\0' }, /^key must not contain U\+0000/],
    [{ value: 'a\0' }, /^value must not/],
    [{ batch_id: '\0' }, /^batch_id must not/],
    [{ subject: '\0' }, /^subject must not/],
    [{ subject_prefix: '\0' }, /^subject_prefix must not/],
  ])('rejects %j and names the place', (parameters, expected) => {
    expect(errorOf(parameters)).toMatch(expected);
  });
});

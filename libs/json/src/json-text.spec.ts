import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  countNames,
  elementsOf,
  findMember,
  inspectJson,
  membersOf,
  pointerPart,
  skipSpace,
  scanJson,
} from './json-text.js';

const space = fc.constantFrom('', '', ' ', '\n', '\t\r\n');
const string = fc
  .array(
    fc.oneof(
      fc.constantFrom('\\u0000', '\\u00000', '\\ud83d', '\\uDC62', '\\ud83d\\udc62', '\\u00e9', '\\\\u0000', '\\"'),
      fc.constantFrom('\\\\', '\\n', '\\/', '{', '}', '[', ']', ',', ':', '1e5', 'a', 'é', '👢', ' ', '~', '/'),
    ),
    { maxLength: 4 },
  )
  .map((pieces) => `"${pieces.join('')}"`);
const longNumber = fc
  .record({
    before: fc.constantFrom(1, 131_071, 131_072, 131_073),
    after: fc.constantFrom(0, 0, 1, 16_382, 16_383, 16_384),
    digit: fc.constantFrom('1', '9'),
    sign: fc.constantFrom('', '-'),
  })
  .map(
    ({ before, after, digit, sign }) => sign + digit.repeat(before) + (after === 0 ? '' : `.${'0'.repeat(after - 1)}1`),
  );
const number = fc.oneof(
  { weight: 8, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)) },
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      '0',
      '-0',
      '0.10',
      '1e5',
      '1E+131071',
      '1e131072',
      '1e-16383',
      '1e-16384',
      '0e999999999999',
    ),
  },
  { weight: 1, arbitrary: longNumber },
);
const { json } = fc.letrec<{ json: string; list: string; object: string }>((tie) => ({
  json: fc.oneof({ maxDepth: 4 }, string, number, fc.constantFrom('true', 'false', 'null'), tie('list'), tie('object')),
  list: fc
    .tuple(fc.array(tie('json'), { maxLength: 4 }), space)
    .map(([elements, s]) => `[${s}${elements.join(`${s},${s}`)}${s}]`),
  object: fc
    .tuple(
      fc.array(fc.tuple(fc.oneof(string, fc.constantFrom('"a"', '"\\u0061"')), tie('json')), { maxLength: 4 }),
      space,
    )
    .map(([members, s]) => `{${s}${members.map(([name, value]) => `${name}${s}:${s}${value}`).join(`${s},${s}`)}${s}}`),
}));

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

const NONE = (): boolean => false;

describe('pointerPart', () => {
  it.each([
    ['a', '/a'],
    ['', '/'],
    ['a/b', '/a~1b'],
    ['m~n', '/m~0n'],
    ['~1', '/~01'],
    ['//~~', '/~1~1~0~0'],
    [7, '/7'],
  ])('converts %p to %s', (name, part) => {
    expect(pointerPart(name)).toBe(part);
  });

  it.each([
    ['x'.repeat(255), 'x'.repeat(255)],
    ['x'.repeat(256), `${'x'.repeat(255)}…`],
    ['😀'.repeat(255), '😀'.repeat(255)],
    ['😀'.repeat(256), `${'😀'.repeat(255)}…`],
    [`x${'😀'.repeat(1_000_000)}`, `x${'😀'.repeat(254)}…`],
  ])('truncates a name over 255 characters (case %#)', (name, part) => {
    expect(pointerPart(name)).toBe(`/${part}`);
  });
});

describe('scanJson', () => {
  it('asks for inspection of every text in which inspectJson finds an error or a number with an exponent', () => {
    fc.assert(
      fc.property(json, (text) => {
        const { expandedLength, ...found } = inspectJson(text, () => true);
        // Repeated names are found by counting the names.
        const faults = found.errors.filter(({ detail }) => !detail.endsWith('appears twice'));
        if (faults.length > 0 || expandedLength > 0) expect(scanJson(text).needsInspection).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('counts more names than the value has exactly where inspectJson finds a repeated name', () => {
    fc.assert(
      fc.property(json, (text) => {
        const lost = scanJson(text).names - countNames(JSON.parse(text));
        expect(lost > 0).toBe(inspectJson(text, () => true).hasRepeats);
        expect(lost).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 2_000 },
    );
  });

  it('returns at least the depth of the value', () => {
    fc.assert(
      fc.property(json, (text) => {
        expect(scanJson(text).depth).toBeGreaterThanOrEqual(depthOf(JSON.parse(text)));
      }),
    );
    expect(scanJson('[{"a":[1]},[[]]]').depth).toBe(3);
    expect(scanJson('"[[[["').depth).toBe(0);
  });

  it.each([
    '{"a":"e5","b":5,"c":true,"d":false}',
    '["1e5","\\\\u0000","\\u0001","\\ue000"]',
    `[${'1'.repeat(16_383)}]`,
  ])('asks for no inspection of harmless text: %.30s', (text) => {
    expect(scanJson(text).needsInspection).toBe(false);
  });
});

describe('membersOf and elementsOf', () => {
  it('split a text into exactly the values of JSON.parse, repeated names included', () => {
    const check = (text: string, start: number, value: unknown): void => {
      if (Array.isArray(value)) {
        const spans = [...elementsOf(text, start)];
        expect(spans.map((span) => JSON.parse(text.slice(span.start, span.end)) as unknown)).toEqual(value);
        spans.forEach((span, i) => {
          check(text, span.start, value[i]);
        });
      } else if (typeof value === 'object' && value !== null) {
        const members = [...membersOf(text, start)];
        // The last member of a name wins, as in JSON.parse.
        const rebuilt = `{${members.map((one) => `${one.nameText}:${text.slice(one.start, one.end)}`).join()}}`;
        expect(JSON.parse(rebuilt)).toEqual(value);
        for (const one of members) {
          expect(one.name).toBe(JSON.parse(one.nameText));
          check(text, one.start, JSON.parse(text.slice(one.start, one.end)));
        }
      }
    };
    fc.assert(
      fc.property(json, space, (text, s) => {
        check(s + text + s, skipSpace(s + text + s, 0), JSON.parse(text));
      }),
      { numRuns: 300 },
    );
  });

  it('keep the text of names and numbers', () => {
    const text = ' { "\\u0061" : 0.100 ,"a":{"b":"}"} } ';
    expect(Array.from(membersOf(text, 1), (one) => [one.name, one.nameText, text.slice(one.start, one.end)])).toEqual([
      ['a', '"\\u0061"', '0.100'],
      ['a', '"a"', '{"b":"}"}'],
    ]);
  });
});

describe('findMember', () => {
  const NAMES = ['a', 'b', 'data', 'd\u00e9', '', '{', '"', '\\'];

  it('finds the last member with a name, and the end of the object', () => {
    fc.assert(
      fc.property(json, space, fc.constantFrom(...NAMES), (text, s, name) => {
        fc.pre(text.startsWith('{'));
        const whole = `${s}${text}${s},{"${name.replaceAll(/["\\]/g, '')}":1}`;
        const members = [...membersOf(whole, s.length)].filter((one) => one.name === name);
        const last = members.at(-1);
        expect(findMember(whole, s.length, name)).toEqual({
          value: last && { start: last.start, end: last.end },
          end: s.length + text.length,
        });
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ['{"data":[1,{"data":2}]}', '[1,{"data":2}]'],
    ['{"x":{"data":1},"data" : 2 }', '2'],
    ['{"data":1,"data":"}"}', '"}"'],
    ['{"\\u0064ata":1}', '1'],
    ['{"\\u0064\\u0061\\u0074\\u0061":1}', '1'],
    ['{"":0,"\\"data":1,"data":2}', '2'],
    ['{"date":1,"dat":2,"data2":3}', undefined],
    ['{"x":"data"}', undefined],
    ['{ }', undefined],
  ])('compares names after unescaping, and ignores values: %s', (text, wanted) => {
    const { value, end } = findMember(text, 0, 'data');
    expect(value && text.slice(value.start, value.end)).toBe(wanted);
    expect(end).toBe(text.length);
  });
});

describe('inspectJson', () => {
  it.each([
    ['"\\u0000"', ''],
    ['{"a":["x","\\ud83d"]}', '/a/1'],
    ['{"a/b~c":{"\\u0000":1}}', '/a~1b~0c/\0'],
    ['[1,2,1e131072]', '/2'],
    ['[1e131071,-1e-16383,0e131072,0.00e5,1e-16384]', '/4'],
    [`[${'1'.repeat(131_072)},${'1'.repeat(131_073)}]`, '/1'],
    [`[0.${'1'.repeat(16_383)},0.${'1'.repeat(16_384)}]`, '/1'],
    ['[1e1000000001]', '/0'],
    ['[0e-16384]', '/0'],
    ['[0.0000001e131078,0.0000001e131079]', '/1'],
  ])('returns a pointer to each number that cannot be stored: %.40s', (text, pointer) => {
    expect(inspectJson(text, NONE).errors.map((fault) => fault.pointer)).toEqual([pointer]);
  });

  it('returns a pointer to each repeated name, and to an earlier value that is nested too deep where names may repeat', () => {
    const text = '{"a":1,"b":[{"c":1,"\\u0063":2,"c":3}],"a":2}';
    const pointers = (inspected: ReturnType<typeof inspectJson>): string[] =>
      inspected.errors.map(({ pointer }) => pointer);
    expect(pointers(inspectJson(text, NONE))).toEqual(['/b/0/c', '/b/0/c', '/a']);
    const inspected = inspectJson(text, (pointer) => pointer === '/b/0');
    expect([pointers(inspected), inspected.hasRepeats]).toEqual([['/a'], true]);
    const deep = `${'['.repeat(17)}${']'.repeat(17)}`;
    const nested = `{"a":[],"a":1,"b":${deep},"b":{"c":1,"c":2},"d":1,"d":${deep}}`;
    expect(pointers(inspectJson(nested, (pointer) => pointer === ''))).toEqual(['/b', '/b/c']);
    expect(inspectJson('[{"a":1},{"a":1}]', NONE)).toMatchObject({ errorCount: 0, hasRepeats: false });
  });

  it('lists 100 errors and counts all of them', () => {
    const { errors: faults, errorCount: faultCount } = inspectJson(`[${Array(5_000).fill('"\\u0000"').join()}]`, NONE);
    expect([faults.length, faultCount]).toEqual([100, 5_000]);
  });

  it.each([
    ['[1e3]', 4],
    ['[1e-3]', 4],
    ['[12e3,5]', 5],
    ['[1.5e1]', 2],
    ['["1e3",1000]', 0],
  ])('returns the length of numbers with expanded exponents: %s', (text, length) => {
    expect(inspectJson(text, NONE).expandedLength).toBe(length);
  });
});

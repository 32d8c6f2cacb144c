import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { JsonValues, type ValueLayout } from './json-values.js';

/** The values of a text that arrives in pieces of these lengths. */
function valuesIn(layout: ValueLayout, text: string, ...lengths: number[]): string[] {
  const bytes = Buffer.from(text);
  const values = new JsonValues(layout);
  const found: string[] = [];
  let start = 0;
  for (let piece = 0; start < bytes.length; piece++) {
    const end = start + (lengths[piece % lengths.length] ?? bytes.length);
    for (const { place, text: value } of values.take(bytes.subarray(start, end)))
      found.push(`${String(place)}:${value}`);
    start = end;
  }
  for (const { place, text: value } of values.finish()) found.push(`${String(place)}:${value}`);
  return found;
}

const json = fc.jsonValue({ maxDepth: 3 });
const lengths = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 });

describe('the values of a file', () => {
  it('are the elements of a list, for any pieces of the file', () => {
    fc.assert(
      fc.property(fc.array(json), fc.constantFrom(undefined, 2, '\r\n'), lengths, (list, space, pieces) => {
        const texts = valuesIn('list', ` ${JSON.stringify(list, null, space)}\n`, ...pieces);
        expect(texts.map((text) => JSON.parse(text.slice(text.indexOf(':') + 1)) as unknown)).toEqual(
          JSON.parse(JSON.stringify(list)),
        );
        expect(texts.map((text) => parseInt(text))).toEqual(list.map((_, index) => index + 1));
      }),
    );
  });

  it('are the features of an object, wherever its list is', () => {
    const tail = '{"features":[0],"list":[1,"]"]}';
    expect(
      valuesIn('features', `{"a":"features","b":[{"features":[3]}],\n"features" : [ 1.0, ${tail}\n],"c":[2]}`, 1),
    ).toEqual(['1:1.0', `2:${tail}`]);
  });

  it('are all values of the file, with their lines', () => {
    expect(valuesIn('values', '{"a":\n1}\n\n{"b":"x\\"}"}[1]\n7 "s"\nnull', 3)).toEqual([
      '1:{"a":\n1}',
      '4:{"b":"x\\"}"}',
      '4:[1]',
      '5:7',
      '5:"s"',
      '6:null',
    ]);
  });

  it.each<[ValueLayout, string]>([
    ['list', '[1,2'],
    ['list', '[{"a":1}'],
    ['features', '{"type":"FeatureCollection"}'],
    ['features', '{"features":[1]'],
    ['values', '{"a":"'],
    ['values', '{"a":1}}'],
  ])('are rejected where JSON ends too early or too late: %s %s', (layout, text) => {
    expect(() => valuesIn(layout, text)).toThrow(/^is not valid JSON: unexpected (?:end of file|bracket in line 1)$/);
  });

  it('are rejected where they are not UTF-8, or too large for memory', () => {
    const values = new JsonValues('list');
    expect(() => [...values.take(Buffer.from('["\xe9"]', 'latin1'))]).toThrow(
      'is not valid UTF-8 before the end of line 1',
    );
    expect(() => Array.from(new JsonValues('values').take(Buffer.alloc(20 * 1024 ** 2, '1')))).toThrow(
      'has a value of more than 16,777,216 bytes in line 1',
    );
  });
});

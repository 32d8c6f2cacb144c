import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { listOfPairs, patchPairs } from './pairs.js';

interface Pair {
  key: string;
  value: string | number | boolean | null;
}

const key = fc.constantFrom('a', 'b', 'c', '__proto__', '1', 'a"b', 'é');
const value = fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null));
const pairs = fc.array(fc.record({ key, value }), { maxLength: 8 });
const changes = fc.uniqueArray(fc.record({ key, value }), { maxLength: 5, selector: (one) => one.key });
const shorthandOf = (list: readonly Pair[]): string =>
  `{${list.map((pair) => `${JSON.stringify(pair.key)}:${JSON.stringify(pair.value)}`).join()}}`;

/** An independent implementation of RFC 7396 for keys that are ordered and may repeat. */
function patched(data: readonly Pair[], patch: readonly Pair[]): Pair[] {
  let result = [...data];
  for (const change of patch) {
    const place = result.findIndex((pair) => pair.key === change.key);
    const others = result.filter((pair) => pair.key !== change.key);
    if (change.value === null) result = others;
    else if (place === -1) result = [...others, change];
    else result = [...result.slice(0, place), change, ...result.slice(place).filter((pair) => pair.key !== change.key)];
  }
  return result;
}

describe('listOfPairs', () => {
  it('converts a plain object to pairs in its order, repeated names included', () => {
    fc.assert(
      fc.property(pairs, (list) => {
        expect(JSON.parse(listOfPairs(shorthandOf(list)))).toEqual(list);
      }),
    );
  });

  it('does not change the text of keys and values', () => {
    expect(listOfPairs('{ "\\u0061" : 0.100,\n"a":1E400 , "b":"\\/" }')).toBe(
      '[{"key":"\\u0061","value":0.100},{"key":"a","value":1E400},{"key":"b","value":"\\/"}]',
    );
  });

  it('does not change a list', () => {
    const list = '[ {"value":1,"key":"a"} ]';
    expect(listOfPairs(list)).toBe(list);
  });
});

describe('patchPairs', () => {
  it('sets, adds and removes keys according to RFC 7396, and keeps their order', () => {
    fc.assert(
      fc.property(pairs, changes, (data, patch) => {
        const result = JSON.parse(patchPairs(JSON.stringify(data), shorthandOf(patch))) as Pair[];
        expect(result).toEqual(patched(data, patch));
      }),
      { numRuns: 500 },
    );
  });

  it('has the same result when it is applied twice', () => {
    fc.assert(
      fc.property(pairs, changes, (data, patch) => {
        const once = patchPairs(JSON.stringify(data), shorthandOf(patch));
        expect(patchPairs(once, shorthandOf(patch))).toBe(once);
      }),
    );
  });

  it('keeps every digit of numbers', () => {
    const data = '[{"key": "a", "value": 0.1000}, {"key": "b", "value": 12345678901234567890}]';
    expect(patchPairs(data, '{"c":1e400,"b":1.0}')).toBe(
      '[{"key":"a","value":0.1000},{"key":"b","value":1.0},{"key":"c","value":1e400}]',
    );
  });

  it('reads pairs whose value precedes the key', () => {
    expect(patchPairs('[{"value":1,"key":"a"},{"value":2,"key":"b"}]', '{"a":null}')).toBe('[{"key":"b","value":2}]');
  });

  it('replaces all pairs with a list', () => {
    expect(patchPairs('[{"key":"a","value":1}]', '[{"key":"b","value":null}]')).toBe('[{"key":"b","value":null}]');
  });
});

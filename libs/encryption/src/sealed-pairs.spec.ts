import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DataKey } from './data-key.js';
import * as pairsOf from './sealed-pairs.js';
import { isSealedWith, openValue, sealValue } from './sealed-value.js';

const dataKey = new DataKey(randomBytes(32));
const place = { projectId: 7, objectId: 'o"1' };

const NO_KEYS: ReadonlySet<string> = new Set();

/** All work at once. */
function textOf(work: pairsOf.PairsWork): string {
  for (;;) {
    const { done, value: text } = work.next();
    if (done === true) return text;
  }
}

const sealPairs = (...args: Parameters<typeof pairsOf.sealPairs>): string => textOf(pairsOf.sealPairs(...args));

function resealPairs(
  dataKeys: readonly DataKey[],
  at: pairsOf.PairsPlace,
  names: ReadonlySet<string>,
  text: string,
): string {
  return textOf(pairsOf.resealPairs(dataKeys, at, names, text, () => undefined));
}

/** @param unopened gets the keys of values that do not open */
function openPairs(
  dataKeys: readonly DataKey[],
  at: pairsOf.PairsPlace,
  text: string,
  unopened: string[] = [],
): string {
  return textOf(pairsOf.openPairs(dataKeys, at, text, (name) => unopened.push(name)));
}

/** Keys with quotes, dots, escapes, and characters of several bytes; few, so that they repeat. */
const key = fc.oneof(
  fc.constantFrom('a', 'b.c', '"', '\\', 'ü', '😀', '__proto__'),
  fc.string({ unit: 'grapheme', minLength: 1 }),
);
const value = fc.oneof(fc.jsonValue(), fc.constantFrom('$enc1:', '$enc1:AAAAAAAA:BBBB', '"', ''));
const pairs = fc.array(fc.record({ key, value }), { maxLength: 6 });

/** As clients may write it: with spaces, and with the value first. */
const written = fc.tuple(pairs, fc.boolean(), fc.constantFrom('', ' ', '\n  ')).map(([list, isValueFirst, space]) => {
  const texts = list.map((pair) => {
    const members = [`"key"${space}:${JSON.stringify(pair.key)}`, `"value":${space}${JSON.stringify(pair.value)}`];
    return `{${space}${(isValueFirst ? members.reverse() : members).join(`${space},`)}}`;
  });
  return { list, text: `[${space}${texts.join(`,${space}`)}${space}]` };
});

describe('sealPairs', () => {
  it('opens to the same pairs, whatever the keys and values are', () => {
    fc.assert(
      fc.property(written, fc.array(key), ({ list, text }, more) => {
        const keys = new Set([...more, ...list.slice(0, 2).map((pair) => pair.key)]);
        const opened = openPairs([dataKey], place, sealPairs(dataKey, place, keys, text));
        expect(JSON.parse(opened)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('seals every pair of a listed key and changes no other character', () => {
    fc.assert(
      fc.property(written, ({ list, text }) => {
        const keys = new Set(list.slice(0, 1).map((pair) => pair.key));
        const sealed = JSON.parse(sealPairs(dataKey, place, keys, text)) as typeof list;
        expect(sealed.map((pair) => pair.key)).toEqual(list.map((pair) => pair.key));
        for (const [index, pair] of sealed.entries()) {
          if (!keys.has(pair.key)) expect(pair.value).toEqual(JSON.parse(JSON.stringify(list[index]?.value)));
          else expect(isSealedWith(dataKey, JSON.stringify(pair.value))).toBe(true);
        }
        const unsealed = sealPairs(dataKey, place, NO_KEYS, text);
        expect(unsealed).toBe(text);
      }),
    );
    const text = '[ {"value" :1.50, "key":"a"},\n{"key":"b","value":[1,  2]} ]';
    expect(sealPairs(dataKey, place, new Set(['a']), text)).toMatch(
      /^\[ \{"value" :"\$enc1:[\w:-]+", "key":"a"\},\n\{"key":"b","value":\[1, {2}2\]\} \]$/,
    );
  });

  it('is the same text for the same value at the same place, however it is written', () => {
    const seal = (value: string): string => sealPairs(dataKey, place, new Set(['a']), `[{"key":"a","value":${value}}]`);
    expect(seal('{"b":1,"a": [1e2, "\\u00fc"]}')).toBe(seal('{ "a":[100,"ü"], "b":1 }'));
    expect(seal('1')).not.toBe(seal('2'));
  });
});

describe('openPairs', () => {
  const sealed = sealPairs(dataKey, place, new Set(['a']), '[{"key": "a", "value": "secret"}]');

  it.each([
    ['another object', { ...place, objectId: 'o2' }, sealed],
    ['another project', { ...place, projectId: 8 }, sealed],
    ['another key', place, sealed.replace('"a"', '"b"')],
  ])('does not open a value of %s', (_, other, text) => {
    const unopened: string[] = [];
    expect(openPairs([dataKey], other, text, unopened)).toBe(text);
    expect(unopened).toHaveLength(1);
  });

  it('does not open a value of which one character was changed', () => {
    const start = sealed.indexOf('$enc1:') + '$enc1:'.length;
    for (let at = start; at < sealed.lastIndexOf('"'); at++) {
      const other = sealed.charAt(at) === 'A' ? 'w' : 'A';
      const changed = sealed.slice(0, at) + other + sealed.slice(at + 1);
      expect(openPairs([dataKey], place, changed)).not.toContain('secret');
    }
  });

  it('returns a text of a user that looks like a sealed value', () => {
    const text = `[{"key": "a", "value": "$enc1:${dataKey.id}:${'A'.repeat(60)}"}, {"key": "b", "value": "$enc1:"}]`;
    expect(openPairs([dataKey], place, text)).toBe(text);
  });

  it('opens values of each of its data keys, and of no other', () => {
    const other = new DataKey(randomBytes(32));
    expect(openPairs([other, dataKey], place, sealed)).toBe('[{"key": "a", "value": "secret"}]');
    expect(openPairs([other], place, sealed)).toBe(sealed);
  });
});

describe('a value that was sealed twice, by processes that did not have the key of each other', () => {
  const [older, newer] = [new DataKey(randomBytes(32)), new DataKey(randomBytes(32))];
  const keys = new Set(['a']);
  const plain = '[{"key": "a", "value": {"b": [1, "c"]}}]';
  const once = sealPairs(newer, place, keys, plain);

  it.each([
    ['another', older, newer],
    ['the same', newer, newer],
  ])('opens to the value where it was sealed with %s key', (_, outer, inner) => {
    const twice = sealPairs(outer, place, keys, sealPairs(inner, place, keys, plain));
    expect(twice).not.toContain(sealPairs(inner, place, keys, plain).slice(30));
    expect(openPairs([newer, older], place, twice)).toBe(plain);
    expect(openPairs([older, newer], place, twice)).toBe(plain);
  });

  it.each([
    ['the key before', older, newer],
    ['the current key', newer, older],
    ['the current key, twice', newer, newer],
  ])('is sealed once with the current key afterwards, where it was last sealed with %s', (_, outer, inner) => {
    const twice = sealPairs(outer, place, keys, sealPairs(inner, place, keys, plain));
    expect(resealPairs([newer, older], place, keys, twice)).toBe(once);
    expect(resealPairs([newer, older], place, NO_KEYS, twice)).toBe(plain);
    expect(resealPairs([newer, older], place, keys, once)).toBe(once);
  });

  it('is a text of a user where the inner one is of another place', () => {
    const moved = sealPairs(newer, place, keys, sealPairs(newer, { ...place, objectId: 'o2' }, keys, plain));
    expect(openPairs([newer], place, moved)).toBe(sealPairs(newer, { ...place, objectId: 'o2' }, keys, plain));
  });
});

describe('openValue', () => {
  it('returns the text of any value', () => {
    fc.assert(
      fc.property(fc.json(), key, (text, name) => {
        const at = { ...place, key: name };
        expect(openValue([dataKey], at, sealValue(dataKey, at, text))).toBe(text);
      }),
    );
  });

  it.each([1, 8, 64])('returns the text of a value of %d MiB, and leaves one of a user as it is', (mib) => {
    const text = JSON.stringify('x'.repeat(mib * 1024 * 1024));
    const at = { ...place, key: 'a' };
    const sealed = sealValue(dataKey, at, text);
    // Without the texts in a message.
    expect(openValue([dataKey], at, sealed) === text).toBe(true);
    expect(isSealedWith(dataKey, sealed)).toBe(true);
    expect(openValue([dataKey], at, `${sealed.slice(0, -2)}*"`)).toBe(null);
  });
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bitmapOf, BlockWriter, entriesOf } from './block.js';
import {
  ascending,
  addOrdinal,
  countOrdinals,
  descending,
  emptyBitmap,
  fullBitmap,
  hasOrdinal,
  intersect,
  removeOrdinal,
  subtract,
  unite,
  type Bitmap,
} from './ordinals.js';

const OBJECTS = 1_000;
const ordinals = fc.uniqueArray(fc.nat(OBJECTS - 1), { minLength: 1 }).map((list) => list.sort((a, b) => a - b));

function bitmapFrom(list: readonly number[]): Bitmap {
  const bitmap = emptyBitmap(OBJECTS);
  for (const ordinal of list) addOrdinal(bitmap, ordinal);
  return bitmap;
}

describe('a block', () => {
  it('returns the values and objects that were written, in order, few and many', () => {
    const entry = fc.record({ value: fc.string({ unit: 'grapheme' }), ordinals });
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 10 }), (entries) => {
        const writer = new BlockWriter(OBJECTS);
        for (const { value, ordinals: list } of entries) writer.add(value, list);
        const read = [...entriesOf(writer.take(), OBJECTS)].map((one) => {
          expect(one.count).toBe(countOrdinals(bitmapOf(one, OBJECTS)));
          return { value: one.value, ordinals: [...ascending(bitmapOf(one, OBJECTS))] };
        });
        expect(read).toEqual(entries);
      }),
    );
  });
});

describe('sets of ordinals', () => {
  it('are combined as sets', () => {
    fc.assert(
      fc.property(ordinals, ordinals, (a, b) => {
        const listOf = (bitmap: Bitmap): number[] => [...ascending(bitmap)];
        expect(listOf(intersect(bitmapFrom(a), bitmapFrom(b)))).toEqual(a.filter((one) => b.includes(one)));
        expect(listOf(subtract(bitmapFrom(a), bitmapFrom(b)))).toEqual(a.filter((one) => !b.includes(one)));
        expect(listOf(unite(bitmapFrom(a), bitmapFrom(b)))).toEqual([...new Set([...a, ...b])].sort((x, y) => x - y));
        expect(countOrdinals(bitmapFrom(a))).toBe(a.length);
        expect([...descending(bitmapFrom(a))]).toEqual(a.toReversed());
      }),
    );
  });

  it('are full up to the number of objects', () => {
    for (const objects of [1, 31, 32, 33, 64, 65_536]) expect(countOrdinals(fullBitmap(objects))).toBe(objects);
    const bitmap = fullBitmap(40);
    removeOrdinal(bitmap, 39);
    expect([hasOrdinal(bitmap, 38), hasOrdinal(bitmap, 39)]).toEqual([true, false]);
  });
});

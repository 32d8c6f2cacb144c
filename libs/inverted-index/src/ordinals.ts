/**
 * Sets of objects of one segment. An ordinal is the position of an object in its segment. In memory a set is a bitmap: word
 * `ordinal >> 5`, bit `ordinal & 31`.
 */
export type Bitmap = Uint32Array;

export function emptyBitmap(objects: number): Bitmap {
  return new Uint32Array((objects + 31) >> 5);
}

export function fullBitmap(objects: number): Bitmap {
  const bitmap = emptyBitmap(objects).fill(0xffffffff);
  const rest = objects & 31;
  if (rest > 0) bitmap[bitmap.length - 1] = 2 ** rest - 1;
  return bitmap;
}

export function addOrdinal(bitmap: Bitmap, ordinal: number): void {
  const word = ordinal >> 5;
  bitmap[word] = (bitmap[word] ?? 0) | (1 << (ordinal & 31));
}

export function removeOrdinal(bitmap: Bitmap, ordinal: number): void {
  const word = ordinal >> 5;
  bitmap[word] = (bitmap[word] ?? 0) & ~(1 << (ordinal & 31));
}

export function hasOrdinal(bitmap: Bitmap, ordinal: number): boolean {
  return (((bitmap[ordinal >> 5] ?? 0) >>> (ordinal & 31)) & 1) === 1;
}

/** Changes `left` to the objects that are in both. */
export function intersect(left: Bitmap, right: Bitmap): Bitmap {
  for (let i = 0; i < left.length; i++) left[i] = (left[i] ?? 0) & (right[i] ?? 0);
  return left;
}

/** Changes `left` to the objects that are in one of them. */
export function unite(left: Bitmap, right: Bitmap): Bitmap {
  for (let i = 0; i < left.length; i++) left[i] = (left[i] ?? 0) | (right[i] ?? 0);
  return left;
}

/** Changes `left` to its objects that are not in `right`. */
export function subtract(left: Bitmap, right: Bitmap): Bitmap {
  for (let i = 0; i < left.length; i++) left[i] = (left[i] ?? 0) & ~(right[i] ?? 0);
  return left;
}

export function countOrdinals(bitmap: Bitmap): number {
  let count = 0;
  for (const word of bitmap) count += countBits(word);
  return count;
}

/** The number of bits of a word that are set. */
export function countBits(word: number): number {
  // Adds up pairs of bits, then fours, then bytes (Hacker's Delight, chapter 5).
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** The ordinals of a set from the highest to the lowest. */
export function* descending(bitmap: Bitmap): Generator<number> {
  for (let i = bitmap.length - 1; i >= 0; i--) {
    for (let word = bitmap[i] ?? 0; word !== 0;) {
      const bit = 31 - Math.clz32(word);
      yield i * 32 + bit;
      word &= ~(1 << bit);
    }
  }
}

/** The same from the lowest to the highest. */
export function* ascending(bitmap: Bitmap): Generator<number> {
  for (let i = 0; i < bitmap.length; i++) {
    for (let word = bitmap[i] ?? 0; word !== 0;) {
      const bit = 31 - Math.clz32(word & -word);
      yield i * 32 + bit;
      word &= word - 1;
    }
  }
}

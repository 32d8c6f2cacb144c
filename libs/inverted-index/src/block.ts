import type { Bitmap } from './ordinals.js';
import { addOrdinal, ascending, countBits, emptyBitmap, hasOrdinal } from './ordinals.js';
import type { TermKind } from './term-kind.js';

/**
 * A block holds consecutive values of one path and kind in one segment, each with the objects that have it. Its body is a list of
 * entries:
 *
 *     length of the value in bytes   varint
 *     the value                      UTF-8; a number as its text; empty for kinds without a value
 *     number of objects              varint
 *     their ordinals                 two bytes each, lowest byte first, ascending; or where that is shorter a bitmap of all objects
 *                                    of the segment, lowest bit first
 */
export interface BlockEntry {
  value: string;
  count: number;
  /** The ordinals as they are stored. */
  bytes: Uint8Array;
}

/** A value, and the objects that have it. */
export type ValueOrdinals = readonly [value: string, ordinals: readonly number[]];

/**
 * The objects that a block has before it ends. Larger blocks are fewer rows to write; smaller ones are fewer bytes to read for one
 * value (docs/decisions/027).
 */
const BLOCK_POSTINGS = 128;

/** The last value, and the number of objects of all entries. */
export interface Block {
  path: string;
  kind: TermKind;
  last: string;
  values: number;
  postings: number;
  body: Buffer;
}

/** Whether a bitmap of the segment is shorter than the list of ordinals. */
function isBitmap(count: number, objects: number): boolean {
  return count * 2 > (objects + 7) >> 3;
}

/** Writes bodies of blocks into one growing buffer. */
export class BlockWriter {
  private bytes = Buffer.allocUnsafe(64 * 1024);
  private length = 0;

  /** @param objects the number of objects of the segment */
  constructor(private readonly objects: number) {}

  /** @param ordinals ascending */
  add(value: string, ordinals: readonly number[]): void {
    const count = ordinals.length;
    const asBitmap = isBitmap(count, this.objects);
    const size = asBitmap ? (this.objects + 7) >> 3 : count * 2;
    const valueBytes = value === '' ? 0 : Buffer.byteLength(value);
    this.reserve(valueBytes + size + 10);
    this.varint(valueBytes);
    if (valueBytes > 0) this.length += this.bytes.write(value, this.length);
    this.varint(count);
    const { bytes, length } = this;
    if (asBitmap) {
      bytes.fill(0, length, length + size);
      for (const ordinal of ordinals)
        bytes[length + (ordinal >> 3)] = (bytes[length + (ordinal >> 3)] ?? 0) | (1 << (ordinal & 7));
    } else {
      let at = length;
      for (const ordinal of ordinals) at = bytes.writeUInt16LE(ordinal, at);
    }
    this.length += size;
  }

  /** Returns the body, which is valid until the next call of `add`, and begins another one. */
  take(): Buffer {
    const body = this.bytes.subarray(0, this.length);
    this.length = 0;
    return body;
  }

  private varint(number: number): void {
    let rest = number;
    for (; rest > 127; rest >>>= 7) this.bytes[this.length++] = (rest & 127) | 128;
    this.bytes[this.length++] = rest;
  }

  private reserve(size: number): void {
    if (this.length + size <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.length + size, 2 * this.bytes.length));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}

/** The blocks of values in their order; a kind without values has one, which is empty. A body is valid until the next block. */
export function* valueBlocks(
  writer: BlockWriter,
  path: string,
  kind: TermKind,
  sorted: Iterable<ValueOrdinals>,
): Generator<Block> {
  let values = 0;
  let postings = 0;
  let last = '';
  for (const [value, ordinals] of sorted) {
    const count = ordinals.length;
    // A value with many objects has a block of its own, so that it is read alone.
    if (values > 0 && postings + count > BLOCK_POSTINGS) {
      yield { path, kind, last, values, postings, body: writer.take() };
      values = postings = 0;
    }
    writer.add(value, ordinals);
    values++;
    postings += count;
    last = value;
  }
  if (values > 0) yield { path, kind, last, values, postings, body: writer.take() };
}

/** The entries of a body. @param objects the number of objects of the segment */
export function* entriesOf(body: Buffer, objects: number): Generator<BlockEntry> {
  let at = 0;
  const varint = (): number => {
    let number = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = body[at++] ?? 0;
      number |= (byte & 127) << shift;
      // Unsigned, so that reading a damaged body also ends.
      if (byte < 128) return number >>> 0;
    }
  };
  while (at < body.length) {
    const valueLength = varint();
    const value = valueLength === 0 ? '' : body.toString('utf8', at, at + valueLength);
    at += valueLength;
    const count = varint();
    const size = isBitmap(count, objects) ? (objects + 7) >> 3 : count * 2;
    yield { value, count, bytes: body.subarray(at, at + size) };
    at += size;
  }
}

/** Adds the objects of an entry to a set. */
export function addEntry(bitmap: Bitmap, { count, bytes }: BlockEntry, objects: number): void {
  if (isBitmap(count, objects)) {
    for (let i = 0; i < bytes.length; i++) {
      const word = i >> 2;
      bitmap[word] = (bitmap[word] ?? 0) | ((bytes[i] ?? 0) << ((i & 3) * 8));
    }
    return;
  }
  for (let i = 0; i < bytes.length; i += 2) addOrdinal(bitmap, (bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8));
}

/** The number of objects of an entry that are in a set. */
export function countEntry({ count, bytes }: BlockEntry, bitmap: Bitmap, objects: number): number {
  let found = 0;
  if (isBitmap(count, objects)) {
    for (let i = 0; i < bitmap.length; i++) {
      const at = i * 4;
      const word =
        (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
      found += countBits(word & (bitmap[i] ?? 0));
    }
    return found;
  }
  for (let i = 0; i < bytes.length; i += 2) {
    if (hasOrdinal(bitmap, (bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8))) found++;
  }
  return found;
}

/** The objects of an entry as a set. */
export function bitmapOf(entry: BlockEntry, objects: number): Bitmap {
  const bitmap = emptyBitmap(objects);
  addEntry(bitmap, entry, objects);
  return bitmap;
}

/** The ordinals of an entry; faster than a set where they are few. */
export function ordinalsOf(entry: BlockEntry, objects: number): number[] {
  const { count, bytes } = entry;
  if (isBitmap(count, objects)) return [...ascending(bitmapOf(entry, objects))];
  const ordinals: number[] = [];
  for (let i = 0; i < bytes.length; i += 2) ordinals.push((bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8));
  return ordinals;
}

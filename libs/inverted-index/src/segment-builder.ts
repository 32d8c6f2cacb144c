import { BlockWriter, type Block } from './block.js';
import { parsePairs, type ExactPair } from './exact-json.js';
import { compareNumbers, type IndexNumber } from './index-number.js';
import { SeqRuns } from './seq-runs.js';
import { TermKind } from './term-kind.js';
import { TERMS_MAX, TERMS_PER_VALUE, visitTerms, type TermValue } from './terms.js';

/** The most objects of a segment: an ordinal has two bytes. */
export const SEGMENT_OBJECTS_MAX = 65_536;
/** The weight after which a segment is stored: some 40 MB of memory. */
export const SEGMENT_WEIGHT = 1_000_000;
/** Bytes of text that weigh as much as one posting. */
const BYTES_OF_WEIGHT = 32;
/** The most keys that a segment lists, for queries of a value under any key. */
const KEYS_MAX = 1_000;
/** The most objects that are added at once. */
const ADDED_OBJECTS_MAX = 500;

/**
 * The objects that a block has before it ends. Larger blocks are fewer rows to write; smaller ones are fewer bytes to read for one
 * value (docs/decisions/027).
 */
const BLOCK_POSTINGS = 128;

/** The text of an object that cannot have `TERMS_MAX` terms; the shortest value of a list has two characters with its comma. */
const SHORT_LENGTH = (2 * TERMS_MAX) / TERMS_PER_VALUE;
/** The text of an object that is parsed at all: parsing it takes about 2 ms. */
const NARROW_LENGTH_MAX = 256 * 1024;

/** One ordinal, or several in ascending order. */
type Ordinals = number | number[];

/** The terms of one path. */
interface PathTerms {
  /** By kind, for the kinds without a value. */
  plain: (Ordinals | undefined)[];
  numbers: Map<IndexNumber, Ordinals>;
  texts: Map<string, Ordinals>;
}

/** Collects the terms of objects, and writes them as the blocks of one segment. */
export class SegmentBuilder {
  readonly seqs = new SeqRuns();
  /** The sequence numbers of objects with too many terms, which are not part of the segment. */
  readonly wide: bigint[] = [];
  /** A measure of the memory: one for each pair of a term and an object, and one for each 32 bytes of text. */
  weight = 0;
  private readonly paths = new Map<string, PathTerms>();

  /** The keys of the objects; null for more than `KEYS_MAX`. */
  get keys(): string[] | null {
    return keysOf([...this.paths].flatMap(([path, { plain }]) => (plain[TermKind.key] === undefined ? [] : path)));
  }

  /** Whether the segment must be stored before more objects are added: there may be no room for them. */
  get isFull(): boolean {
    return this.weight >= SEGMENT_WEIGHT || this.seqs.length > SEGMENT_OBJECTS_MAX - ADDED_OBJECTS_MAX;
  }

  /**
   * Adds at most `ADDED_OBJECTS_MAX` objects, in ascending order of their sequence numbers.
   * @param datas the `data` of each object: a JSON list of pairs
   */
  add(seqs: readonly bigint[], datas: readonly string[]): void {
    const isShort = datas.every((data) => data.length <= SHORT_LENGTH);
    const parsed = isShort ? parsePairs(datas) : datas.map(parseNarrow);
    for (const [index, pairs] of parsed.entries()) {
      const seq = seqs[index];
      if (seq === undefined) throw new Error('data without a sequence number');
      if (pairs === null) {
        this.wide.push(seq);
        continue;
      }
      const ordinal = this.seqs.length;
      visitTerms(pairs, (path, kind, value) => {
        this.addTerm(path, kind, value, ordinal);
      });
      this.seqs.add(seq);
    }
  }

  /** The blocks in the order of their paths, kinds and values. A body is valid until the next block. */
  *blocks(): Generator<Block> {
    const writer = new BlockWriter(this.seqs.length);
    for (const path of [...this.paths.keys()].sort()) {
      const terms = this.paths.get(path) as PathTerms;
      for (const [kind, ordinals] of terms.plain.entries()) {
        if (ordinals === undefined) continue;
        writer.add('', ordinals);
        yield { path, kind: kind as TermKind, last: '', values: 1, postings: countOf(ordinals), body: writer.take() };
      }
      yield* valueBlocks(writer, path, TermKind.number, sortedNumbers(terms.numbers));
      yield* valueBlocks(writer, path, TermKind.text, sortedTexts(terms.texts));
    }
  }

  private addTerm(path: string, kind: TermKind, value: TermValue, ordinal: number): void {
    this.weight++;
    let terms = this.paths.get(path);
    if (terms === undefined) {
      this.weight += Math.ceil(path.length / BYTES_OF_WEIGHT);
      terms = { plain: [], numbers: new Map(), texts: new Map() };
      this.paths.set(path, terms);
    }
    if (kind === TermKind.text) {
      const text = value as string;
      const ordinals = terms.texts.get(text);
      if (ordinals === undefined) this.weight += Math.ceil(text.length / BYTES_OF_WEIGHT);
      terms.texts.set(text, withOrdinal(ordinals, ordinal));
    } else if (kind === TermKind.number) {
      const number = value as IndexNumber;
      terms.numbers.set(number, withOrdinal(terms.numbers.get(number), ordinal));
    } else terms.plain[kind] = withOrdinal(terms.plain[kind], ordinal);
  }
}

/** The list of keys of a segment. @param paths those of its blocks of the kind `key` */
export function keysOf(paths: readonly string[]): string[] | null {
  return paths.length > KEYS_MAX ? null : [...paths].sort();
}

/** Null where an object has too many terms, or is too long to find out. */
function parseNarrow(data: string): readonly ExactPair[] | null {
  if (data.length > NARROW_LENGTH_MAX) return null;
  const [pairs = null] = parsePairs([data]);
  return pairs !== null && visitTerms(pairs, () => undefined) ? pairs : null;
}

function withOrdinal(ordinals: Ordinals | undefined, ordinal: number): Ordinals {
  if (ordinals === undefined) return ordinal;
  if (typeof ordinals === 'number') return ordinals === ordinal ? ordinal : [ordinals, ordinal];
  // The objects come in order, so an object that has the term twice is the last one.
  if (ordinals[ordinals.length - 1] !== ordinal) ordinals.push(ordinal);
  return ordinals;
}

function countOf(ordinals: Ordinals): number {
  return typeof ordinals === 'number' ? 1 : ordinals.length;
}

function* valueBlocks(
  writer: BlockWriter,
  path: string,
  kind: TermKind,
  sorted: readonly (readonly [string, Ordinals])[],
): Generator<Block> {
  let values = 0;
  let postings = 0;
  let last = '';
  for (const [value, ordinals] of sorted) {
    const count = countOf(ordinals);
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

function sortedNumbers(numbers: ReadonlyMap<IndexNumber, Ordinals>): [string, Ordinals][] {
  const entries = [...numbers].sort(([a], [b]) => compareNumbers(a, b));
  return entries.map(([number, ordinals]) => [String(number), ordinals]);
}

/** By code point, as the collation "C" orders them: JavaScript orders surrogates before U+E000 to U+FFFF. */
function sortedTexts(texts: ReadonlyMap<string, Ordinals>): [string, Ordinals][] {
  const entries = [...texts];
  const isPlain = entries.every(([text]) => !/[\ud800-\uffff]/.test(text));
  if (isPlain) return entries.sort(([a], [b]) => (a < b ? -1 : 1));
  const withBytes = entries.map((entry) => ({ entry, bytes: Buffer.from(entry[0]) }));
  return withBytes.sort((a, b) => Buffer.compare(a.bytes, b.bytes)).map(({ entry }) => entry);
}

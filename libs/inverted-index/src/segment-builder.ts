import type { EventLoopYield } from '#platform';
import { BlockWriter, valueBlocks, type Block, type ValueOrdinals } from './block.js';
import { parsePairs, type ExactPair } from './exact-json.js';
import { compareNumbers, type IndexNumber } from './index-number.js';
import { compareTexts } from './index-text.js';
import { mergeSorted } from './merge-sorted.js';
import { PostingLists } from './posting-lists.js';
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
export const KEYS_MAX = 1_000;
/** The most objects that are added at once. */
const ADDED_OBJECTS_MAX = 500;

/** Values that are sorted at once: about 2 ms. */
const SORTED_AT_ONCE = 4_096;

/** The text of an object that cannot have `TERMS_MAX` terms; the shortest value of a list has two characters with its comma. */
const SHORT_LENGTH = (2 * TERMS_MAX) / TERMS_PER_VALUE;
/** The text of an object that is parsed at all: parsing it takes about 2 ms. */
const NARROW_LENGTH_MAX = 256 * 1024;

/** The terms of one path, with the lists of their objects. */
interface PathTerms {
  /** By kind, for the kinds without a value. */
  plain: (number | undefined)[];
  numbers: Map<IndexNumber, number>;
  texts: Map<string, number>;
}

/** Collects the terms of objects, and writes them as the blocks of one segment. */
export class SegmentBuilder {
  readonly seqs = new SeqRuns();
  /** The sequence numbers of objects with too many terms, which are not part of the segment. */
  readonly wide: bigint[] = [];
  /** A measure of the memory: one for each pair of a term and an object, and one for each 32 bytes of text. */
  weight = 0;
  private readonly paths = new Map<string, PathTerms>();
  private readonly postings = new PostingLists();

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

  /**
   * The blocks in the order of their paths, of one kind after the other in the order of its values. A body is valid until the next block.
   * @param pause called between pieces of some milliseconds
   */
  async *blocks(pause: EventLoopYield): AsyncGenerator<Block> {
    const writer = new BlockWriter(this.seqs.length);
    for (const path of [...this.paths.keys()].sort()) {
      const terms = this.paths.get(path) as PathTerms;
      const numbers = await sorted(terms.numbers, compareNumbers, pause);
      const texts = await sorted(terms.texts, compareTexts, pause);
      for (const block of this.blocksOf(writer, path, terms, { numbers, texts })) {
        yield block;
        if (pause.isDue) await pause.yield();
      }
    }
  }

  private *blocksOf(
    writer: BlockWriter,
    path: string,
    { plain, numbers, texts }: PathTerms,
    sortedValues: { numbers: Iterable<IndexNumber>; texts: Iterable<string> },
  ): Generator<Block> {
    for (const [kind, list] of plain.entries()) {
      if (list !== undefined) yield* valueBlocks(writer, path, kind as TermKind, [['', this.postings.read(list)]]);
    }
    yield* valueBlocks(writer, path, TermKind.number, this.withOrdinals(sortedValues.numbers, numbers));
    yield* valueBlocks(writer, path, TermKind.text, this.withOrdinals(sortedValues.texts, texts));
  }

  private *withOrdinals<T extends IndexNumber>(
    sortedValues: Iterable<T>,
    lists: ReadonlyMap<T, number>,
  ): Generator<ValueOrdinals> {
    for (const value of sortedValues) yield [String(value), this.postings.read(lists.get(value) ?? -1)];
  }

  private addTerm(path: string, kind: TermKind, value: TermValue, ordinal: number): void {
    this.weight++;
    let terms = this.paths.get(path);
    if (terms === undefined) {
      this.weight += textWeight(path);
      terms = { plain: [], numbers: new Map(), texts: new Map() };
      this.paths.set(path, terms);
    }
    const { postings } = this;
    if (kind === TermKind.text) {
      const text = value as string;
      const list = terms.texts.get(text);
      if (list === undefined) this.weight += textWeight(text);
      terms.texts.set(text, postings.append(list, ordinal));
    } else if (kind === TermKind.number) {
      const number = value as IndexNumber;
      terms.numbers.set(number, postings.append(terms.numbers.get(number), ordinal));
    } else terms.plain[kind] = postings.append(terms.plain[kind], ordinal);
  }
}

/** The weight of a value's text, or of a path. */
export function textWeight(text: string): number {
  return Math.ceil(text.length / BYTES_OF_WEIGHT);
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

/**
 * The values in their order. Small lists are sorted one by one, and merged while they are read: sorting 60,000 values at once takes
 * up to 150 ms.
 */
async function sorted<T>(
  values: ReadonlyMap<T, unknown>,
  compare: (a: T, b: T) => number,
  pause: EventLoopYield,
): Promise<Iterable<T>> {
  const all = [...values.keys()];
  const lists: T[][] = [];
  for (let start = 0; start < all.length; start += SORTED_AT_ONCE) {
    lists.push(all.slice(start, start + SORTED_AT_ONCE).sort(compare));
    if (pause.isDue) await pause.yield();
  }
  return lists.length === 1 ? lists.flat() : mergeSorted(lists, compare);
}

import type { EventLoopYield } from '#platform';
import { BlockWriter, entriesOf, ordinalsOf, valueBlocks, type Block, type ValueOrdinals } from './block.js';
import { compareNumbers, type IndexNumber } from './index-number.js';
import { compareTexts } from './index-text.js';
import { mergeSorted } from './merge-sorted.js';
import { hasOrdinal, type Bitmap } from './ordinals.js';
import { keysOf, KEYS_MAX, textWeight } from './segment-builder.js';
import { SeqRuns } from './seq-runs.js';
import { TermKind } from './term-kind.js';

/** A segment that is merged. */
export interface MergeSource {
  number: string;
  seqs: SeqRuns;
  /** The objects whose entries are valid. */
  valid: Bitmap;
  /** The position of each of its objects among the valid objects of all sources; -1 for those that are not valid. */
  positions: Int32Array;
}

/** A block of a source. */
export interface SourceBlock {
  segment: string;
  path: string;
  kind: TermKind;
  body: Buffer;
}

/** Numbers the valid objects of all sources, and returns their sequence numbers as segments of up to `objectsMax` objects. */
export async function numberObjects(
  sources: readonly MergeSource[],
  objectsMax: number,
  pause: EventLoopYield,
): Promise<SeqRuns[]> {
  const parts: SeqRuns[] = [];
  let part: SeqRuns | undefined;
  let position = 0;
  for (const { seq, ordinal, source } of mergeSorted(sources.map(validObjects), compareSeqs)) {
    source.positions[ordinal] = position++;
    if (part === undefined || part.length === objectsMax) parts.push((part = new SeqRuns()));
    part.add(seq);
    if (position % PAUSE_OBJECTS === 0 && pause.isDue) await pause.yield();
  }
  return parts;
}

/** Objects that are numbered between two looks at the clock. */
const PAUSE_OBJECTS = 1_024;

interface SourceObject {
  seq: bigint;
  ordinal: number;
  source: MergeSource;
}

function* validObjects(source: MergeSource): Generator<SourceObject> {
  let ordinal = 0;
  for (const seq of source.seqs) {
    if (hasOrdinal(source.valid, ordinal)) yield { seq, ordinal, source };
    ordinal++;
  }
}

function compareSeqs(a: SourceObject, b: SourceObject): number {
  return a.seq < b.seq ? -1 : 1;
}

/**
 * A segment with the entries of others. The values of a path are sorted in each source, so they are merged: only the blocks of one
 * path and kind are in memory, and no object is read again.
 */
export class MergedSegment {
  /** As in `SegmentBuilder`, of the blocks that have been read. */
  weight = 0;
  private readonly keyPaths: string[] = [];

  /**
   * @param seqs its objects
   * @param firstPosition the position of its first object among the valid objects of all sources
   * @param read reads the blocks of all sources in the order of paths and kinds, then segments and values
   */
  constructor(
    readonly seqs: SeqRuns,
    private readonly firstPosition: number,
    private readonly sources: readonly MergeSource[],
    private readonly read: () => AsyncIterable<SourceBlock>,
  ) {}

  get keys(): string[] | null {
    return keysOf(this.keyPaths);
  }

  /** The blocks in the order of their paths, kinds and values. A body is valid until the next block. */
  async *blocks(pause: EventLoopYield): AsyncGenerator<Block> {
    const writer = new BlockWriter(this.seqs.length);
    let lastPath = '';
    for await (const { path, kind, bodies } of groups(this.read())) {
      let isEmpty = true;
      for (const block of valueBlocks(writer, path, kind, this.values(kind, bodies))) {
        isEmpty = false;
        yield block;
        if (pause.isDue) await pause.yield();
      }
      if (isEmpty) continue;
      if (path !== lastPath) this.weight += textWeight(path);
      lastPath = path;
      if (kind === TermKind.key && this.keyPaths.length <= KEYS_MAX) this.keyPaths.push(path);
    }
  }

  /** The values of one path and kind in their order, each with its objects in this segment. */
  private *values(kind: TermKind, bodies: ReadonlyMap<string, readonly Buffer[]>): Generator<ValueOrdinals> {
    const compare = kind === TermKind.number ? compareNumbers : compareStrings;
    const lists = this.sources.map((source) => this.entriesOf(source, kind, bodies.get(source.number) ?? []));
    let current: MergedEntry | undefined;
    for (const entry of mergeSorted(lists, (a, b) => compare(a.value, b.value))) {
      if (current !== undefined && compare(current.value, entry.value) === 0) {
        for (const ordinal of entry.ordinals) current.ordinals.push(ordinal);
        continue;
      }
      if (current !== undefined) yield this.weighed(kind, current);
      current = entry;
    }
    if (current !== undefined) yield this.weighed(kind, current);
  }

  private weighed(kind: TermKind, { value, ordinals }: MergedEntry): ValueOrdinals {
    // Sources whose ranges overlap have their objects between each other.
    if (ordinals.some((ordinal, index) => ordinal < (ordinals[index - 1] ?? 0))) ordinals.sort((a, b) => a - b);
    const text = String(value);
    this.weight += ordinals.length + (kind === TermKind.text ? textWeight(text) : 0);
    return [text, ordinals];
  }

  /** The entries of a source that have objects of this segment. */
  private *entriesOf(source: MergeSource, kind: TermKind, bodies: readonly Buffer[]): Generator<MergedEntry> {
    const objects = source.seqs.length;
    for (const body of bodies) {
      for (const entry of entriesOf(body, objects)) {
        const ordinals: number[] = [];
        for (const ordinal of ordinalsOf(entry, objects)) {
          const own = (source.positions[ordinal] ?? -1) - this.firstPosition;
          if (own >= 0 && own < this.seqs.length) ordinals.push(own);
        }
        if (ordinals.length === 0) continue;
        yield { value: kind === TermKind.number ? parseNumber(entry.value) : entry.value, ordinals };
      }
    }
  }
}

interface MergedEntry {
  value: IndexNumber;
  ordinals: number[];
}

function compareStrings(a: IndexNumber, b: IndexNumber): number {
  return compareTexts(String(a), String(b));
}

/** A number as `SegmentBuilder` writes it. */
function parseNumber(text: string): IndexNumber {
  const number = Number(text);
  return String(number) === text ? number : text;
}

/** The blocks of one path and kind, by segment. */
interface Group {
  path: string;
  kind: TermKind;
  bodies: Map<string, Buffer[]>;
}

async function* groups(blocks: AsyncIterable<SourceBlock>): AsyncGenerator<Group> {
  let group: Group | undefined;
  for await (const { segment, path, kind, body } of blocks) {
    if (group?.path !== path || group.kind !== kind) {
      if (group !== undefined) yield group;
      group = { path, kind, bodies: new Map() };
    }
    const bodies = group.bodies.get(segment);
    if (bodies === undefined) group.bodies.set(segment, [body]);
    else bodies.push(body);
  }
  if (group !== undefined) yield group;
}

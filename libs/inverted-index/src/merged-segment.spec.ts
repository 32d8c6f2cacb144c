import { describe, expect, it } from '@jest/globals';
import { EventLoopYield } from '#platform';
import { entriesOf, ordinalsOf, type Block } from './block.js';
import { MergedSegment, numberObjects, type MergeSource, type SourceBlock } from './merged-segment.js';
import { fullBitmap, removeOrdinal } from './ordinals.js';
import { SegmentBuilder } from './segment-builder.js';
import type { NewSegment } from './segment.store.js';

const OBJECTS = 600;

/** Values of every order: numbers as doubles and beyond, text with surrogates, and common values, whose objects are a bitmap. */
function dataOf(n: number): string {
  const values = [
    String(n % 2),
    `${String(n % 9)}e${String(150 + (n % 3))}`,
    `12345678901234567${String(890 - (n % 90))}`,
    `"${['\u{1f600}', '\uffee', 'é', 'z'][n % 4] ?? ''}${String(n % 50)}"`,
    `"text ${String((n * 7919) % OBJECTS)}"`,
    `["a", ${String(-n)}]`,
    `{"b":null}`,
  ];
  const pairs = values.map((value, index) => `{"key":"k${String((index + n) % 7)}","value":${value}}`);
  return `[${pairs.join()}]`;
}

function builderOf(numbers: readonly number[]): SegmentBuilder {
  const builder = new SegmentBuilder();
  builder.add(
    numbers.map((n) => BigInt(n) * 1024n),
    numbers.map(dataOf),
  );
  return builder;
}

/** The blocks by path and kind, with copies of their bodies, which are valid until the next block only. */
async function blocksOf(segment: NewSegment): Promise<Block[]> {
  const blocks: Block[] = [];
  for await (const block of segment.blocks(new EventLoopYield(null))) {
    blocks.push({ ...block, body: Buffer.from(block.body) });
  }
  return blocks.sort(byPathAndKind);
}

function byPathAndKind(a: Block, b: Block): number {
  return a.path === b.path ? a.kind - b.kind : a.path < b.path ? -1 : 1;
}

describe('MergedSegment', () => {
  it.each([
    ['one segment', OBJECTS],
    ['two segments where the objects do not fit into one', 250],
  ])('has the blocks that its valid objects have, as %s', async (_, objectsMax) => {
    const all = Array.from({ length: OBJECTS }, (_each, n) => n);
    // Ranges that follow each other, and one that overlaps all.
    const parts = [0, 1, 2].map((part) => all.filter((n) => n % 5 > 0 && Math.floor(n / 200) === part));
    parts.push(all.filter((n) => n % 5 === 0));
    const isValid = (n: number): boolean => n % 7 > 0;
    const sources: MergeSource[] = [];
    const blocks: (Block & SourceBlock)[] = [];
    for (const [index, part] of parts.entries()) {
      const { seqs } = builderOf(part);
      const valid = fullBitmap(part.length);
      for (const [ordinal, n] of part.entries()) if (!isValid(n)) removeOrdinal(valid, ordinal);
      sources.push({ number: String(index), seqs, valid, positions: new Int32Array(part.length).fill(-1) });
      blocks.push(...(await blocksOf(builderOf(part))).map((block) => ({ ...block, segment: String(index) })));
    }
    blocks.sort(byPathAndKind);
    // eslint-disable-next-line @typescript-eslint/require-await -- as if they were read from a database
    const read = async function* (): AsyncGenerator<SourceBlock> {
      yield* blocks;
    };

    const merged = await numberObjects(sources, objectsMax, new EventLoopYield(null));
    const expected = all.filter(isValid);
    for (const [index, seqs] of merged.entries()) {
      const own = builderOf(expected.slice(index * objectsMax, (index + 1) * objectsMax));
      const segment = new MergedSegment(seqs, index * objectsMax, sources, read);
      expect(await blocksOf(segment)).toEqual(await blocksOf(own));
      expect([[...segment.seqs], segment.keys, segment.weight]).toEqual([[...own.seqs], own.keys, own.weight]);
    }
    expect(merged.reduce((sum, { length }) => sum + length, 0)).toBe(expected.length);
  });
});

describe('SegmentBuilder with more values than it sorts at once', () => {
  it('has them all in their order', async () => {
    const count = 10_000;
    const builder = new SegmentBuilder();
    for (let start = 0; start < count; start += 500) {
      const numbers = Array.from({ length: 500 }, (_, i) => ((start + i) * 7919) % count);
      builder.add(
        numbers.map((_, i) => BigInt(start + i + 1) * 1024n),
        numbers.map((n) => `[{"key":"k","value":${String(n)}},{"key":"k","value":"${String(n)}"}]`),
      );
    }
    const values = (await blocksOf(builder)).slice(1).flatMap(({ body }) => {
      return [...entriesOf(body, count)].map((entry) => [entry.value, ...ordinalsOf(entry, count)].join(' '));
    });
    const numbers = Array.from({ length: count }, (_, ordinal) => ({ value: (ordinal * 7919) % count, ordinal }));
    const byNumber = numbers.toSorted((a, b) => a.value - b.value);
    const byText = numbers.toSorted((a, b) => (String(a.value) < String(b.value) ? -1 : 1));
    expect(values).toEqual([...byNumber, ...byText].map(({ value, ordinal }) => `${String(value)} ${String(ordinal)}`));
  });
});

import { Config } from '#platform';
import { JsonBody, Problem } from '#http';
import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CreateBatchDto } from './batch.dto.js';
import { BadInput, type BatchSource, type CheckedObject } from './batch-source.js';
import { Ingest } from './ingest.js';
import { ObjectBodies } from '#objects';
import { EagerJsonSource, type JsonSource } from './json-source.js';

/** Both ways to read a batch; the second is the one that says what is wrong. */
interface BothWays {
  readBatch: Ingest['readBatch'];
  readWhole(dto: typeof CreateBatchDto, body: JsonBody): { batchId: string | undefined; source: JsonSource };
}

let ingest: BothWays;

beforeAll(() => {
  ingest = new Ingest(new ObjectBodies(), new Config({ BATCH_OBJECTS_MAX: '700' })) as unknown as BothWays;
});

/** Over 64 KiB, so that it is read eagerly, and of more than two chunks. */
function batchText(count = 600): string {
  const objects = Array.from({ length: count }, (_, i) => {
    const value = i % 3 === 0 ? 'x'.repeat(90) : 'it says "no" \\ [{,}]'.repeat(5);
    return i % 2 === 0
      ? {
          object_id: `o${String(i)}`,
          data: [
            { key: 'n', value: i },
            { key: 'text', value },
          ],
        }
      : { subject: 's', data: { n: i, text: value }, object_id: `o${String(i)}` };
  });
  return JSON.stringify({ batch_id: 'b', objects }, undefined, 1);
}

type Read =
  { batchId: string | undefined; objects: CheckedObject[] } | { slug: string; errors: unknown; detail: string };

async function outcomeOf(read: () => { batchId: string | undefined; source: BatchSource }): Promise<Read> {
  try {
    const { batchId, source } = read();
    return { batchId, objects: await objectsOf(source) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { slug: error.slug, errors: error.errors, detail: error.message };
  }
}

/** As the writer does: what is not plainly good is read the other way. */
async function objectsOf(source: BatchSource): Promise<CheckedObject[]> {
  try {
    return [...(source.chunks() as Iterable<CheckedObject[]>)].flat();
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    return objectsOf(await error.readOn());
  }
}

async function bothWays(text: string): Promise<[Read, Read]> {
  const bytes = Buffer.from(text);
  const body = (): JsonBody => new JsonBody(bytes, 1e9);
  return [
    await outcomeOf(() => ingest.readBatch(CreateBatchDto, body(), false)),
    await outcomeOf(() => ingest.readWhole(CreateBatchDto, body())),
  ];
}

describe('a large batch that is read while it is stored', () => {
  it('is read so at all', () => {
    const { source } = ingest.readBatch(CreateBatchDto, new JsonBody(Buffer.from(batchText()), 1e9), false);
    expect(source).toBeInstanceOf(EagerJsonSource);
    expect([...(source.chunks() as Iterable<CheckedObject[]>)].map((chunk) => chunk.length)).toEqual([250, 250, 100]);
  });

  it('comes to the same as one that is read whole first', async () => {
    const [eager, whole] = await bothWays(batchText());
    expect(eager).toEqual(whole);
    expect(eager).toMatchObject({ batchId: 'b' });
  });

  it.each([
    ['a number that a double cannot hold', '"n": 301', '"n": 12345678901234567890'],
    ['an exponent', '"n": 301', '"n": 1e400'],
    ['a key given twice', '"n": 301', '"n": 301, "n": 302'],
    ['an escaped key', '"n": 301', '"\\u006e": 301'],
    ['a character that cannot be stored', '"n": 301', '"n": "\\u0000"'],
    ['a nested value behind a key given twice', '"n": 301', '"n": [], "n": 302'],
    [
      'a member that is not known',
      '"subject": "s",\n   "data": {\n    "n": 301',
      '"sub": "s",\n   "data": {\n    "n": 301',
    ],
    [
      'a name of the object given twice',
      '"subject": "s",\n   "data": {\n    "n": 301',
      '"subject": "s", "subject": "t",\n   "data": {\n    "n": 301',
    ],
  ])('comes to the same with %s in its middle', async (_, from, to) => {
    const text = batchText();
    expect(text).toContain(from);
    const [eager, whole] = await bothWays(text.replace(from, to));
    expect(eager).toEqual(whole);
  });

  it('of too many objects is refused like any other', async () => {
    const [eager, whole] = await bothWays(batchText(701));
    expect(eager).toEqual(whole);
    expect(eager).toMatchObject({ slug: 'too-large' });
  });

  it('ends in the same problem wherever its text is broken', async () => {
    const good = batchText();
    const damage = fc.record({
      at: fc.integer({ min: 0, max: good.length }),
      drop: fc.integer({ min: 0, max: 3 }),
      put: fc.constantFrom('', ',', '{', '}', '[', ']', '"', '\\', ':', '1', ' ', 'null', '},{', '],['),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ at, drop, put }) => {
        const [eager, whole] = await bothWays(good.slice(0, at) + put + good.slice(at + drop));
        expect(eager).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });
});

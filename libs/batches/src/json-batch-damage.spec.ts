import { elementsOf, findMember, skipSpace } from '#json';
import { Config } from '#platform';
import { JsonBody, Problem, validateDto } from '#http';
import { isShorthand } from '#objects';
import { listOfPairs } from '#store';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CreateBatchDto } from './batch.dto.js';
import { RejectedObjects, type BatchChunk } from './batch-input.js';
import { derivedId } from './batch-object.js';
import { BatchParser } from './batch-parser.js';

const OBJECTS_MAX = 700;
const parser = new BatchParser(new Config({ BATCH_OBJECTS_MAX: String(OBJECTS_MAX) }));

/** A batch of more than two chunks. */
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

type Result = { ids: string[]; data: string[] } | { slug: string; detail?: string };

/** Parses the body like the product, in chunks. */
function parseInChunks(text: string): Promise<Result> {
  return resultOf(async () => {
    const { input } = await parser.parseJson(CreateBatchDto, new JsonBody(Buffer.from(text), 1e9), {
      isPartial: false,
    });
    const chunks = [...(input.chunks() as Iterable<BatchChunk>)];
    const rejected = new RejectedObjects();
    for (const chunk of chunks) rejected.addChunk(chunk);
    if (rejected.count > 0) throw rejected.problem('invalid-body');
    const objects = chunks.flatMap((chunk) => chunk.objects);
    return { ids: objects.map(({ objectId }) => objectId), data: objects.map(({ data }) => data) };
  });
}

/** Parses the whole body at once, with the simplest code. */
function parseAtOnce(text: string): Promise<Result> {
  // eslint-disable-next-line @typescript-eslint/require-await -- like parseInChunks
  return resultOf(async () => {
    const { value } = new JsonBody(Buffer.from(text), 1e9).read(isShorthand);
    const errors = validateDto(CreateBatchDto, value, '');
    const { objects } = value as CreateBatchDto;
    if (Array.isArray(objects) && objects.length > OBJECTS_MAX) throw new Problem('too-large', { detail: '' });
    if (errors.count > 0) throw errors.problem('invalid-body');
    const list = findMember(text, skipSpace(text, 0), 'objects').value?.start ?? 0;
    const data = Array.from(elementsOf(text, list), ({ start }) => {
      const span = findMember(text, start, 'data').value;
      return listOfPairs(text.slice(span?.start, span?.end));
    });
    return { ids: objects.map((object, i) => object.object_id ?? derivedId('b', i) ?? ''), data };
  });
}

async function resultOf(read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const { slug, message } = error;
    return slug === 'malformed-request' ? { slug, detail: message } : { slug };
  }
}

describe('a batch that is parsed in chunks', () => {
  it('has the same objects as when it is parsed at once', async () => {
    expect(await parseInChunks(batchText())).toEqual(await parseAtOnce(batchText()));
    expect(await parseInChunks(batchText())).toMatchObject({ ids: expect.arrayContaining(['o0', 'o599']) as unknown });
  });

  it.each([
    ['a number beyond the precision of a double', '"n": 301', '"n": 12345678901234567890'],
    ['an exponent', '"n": 301', '"n": 1e400'],
    ['a key given twice', '"n": 301', '"n": 301, "n": 302'],
    ['an escaped key', '"n": 301', '"\\u006e": 301'],
    ['a character that cannot be stored', '"n": 301', '"n": "\\u0000"'],
    ['an unknown member', '"subject": "s",\n   "data": {\n    "n": 301', '"sub": "s",\n   "data": {\n    "n": 301'],
    [
      'a member of an object given twice',
      '"subject": "s",\n   "data": {\n    "n": 301',
      '"subject": "s", "subject": "t",\n   "data": {\n    "n": 301',
    ],
    ['a trailing comma', '}\n ]', '},\n ]'],
  ])('has the same result as when it is parsed at once, with %s in its middle', async (_, from, to) => {
    const text = batchText();
    expect(text).toContain(from);
    expect(await parseInChunks(text.replace(from, to))).toEqual(await parseAtOnce(text.replace(from, to)));
  });

  it('is rejected when it has too many objects', async () => {
    expect(await parseInChunks(batchText(701))).toEqual({ slug: 'too-large' });
  });

  it('has the same result as when it is parsed at once, with damage at any position', async () => {
    const good = batchText();
    const damage = fc.record({
      at: fc.integer({ min: 0, max: good.length }),
      drop: fc.integer({ min: 0, max: 3 }),
      put: fc.constantFrom('', ',', '{', '}', '[', ']', '"', '\\', ':', '1', ' ', 'null', '},{', '],['),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ at, drop, put }) => {
        const text = good.slice(0, at) + put + good.slice(at + drop);
        expect(await parseInChunks(text)).toEqual(await parseAtOnce(text));
      }),
      { numRuns: 300 },
    );
  });
});

import { Config } from '#platform';
import { RequestStream, Problem } from '#http';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RejectedObjects, type BatchInput } from './batch-input.js';
import type { BatchObject } from './batch-object.js';
import { BatchParser } from './batch-parser.js';
import { InputReader } from './input-reader.js';

const LIMIT = 2_000;

const settings = { DATABASE_URL: 'postgresql://none', STOWAGE_KEY_SECRET: 'x'.repeat(32) };
const parser = new BatchParser(new Config({ ...settings, BODY_LIMIT_BYTES: String(LIMIT) }));

/** A body that arrives in these pieces; `readCount` returns the number of pieces read. */
function bodyOf(pieces: Iterable<string | Buffer>): { body: RequestStream; readCount: () => number } {
  let readCount = 0;
  const bytes = async function* (): AsyncGenerator<Buffer> {
    for (const piece of pieces) {
      readCount++;
      yield await Promise.resolve(Buffer.from(piece));
    }
  };
  return { body: new RequestStream('application/x-ndjson', bytes(), 'client'), readCount: () => readCount };
}

const inputOf = (pieces: Iterable<string | Buffer>): BatchInput => parser.parseNdjson(bodyOf(pieces).body, 'b');

async function readAll(input: BatchInput): Promise<{ objects: BatchObject[]; rejected: RejectedObjects }> {
  const objects: BatchObject[] = [];
  const rejected = new RejectedObjects();
  for await (const chunk of input.chunks()) {
    objects.push(...chunk.objects);
    rejected.addChunk(chunk);
  }
  return { objects, rejected };
}

async function problemOf(input: BatchInput): Promise<Problem> {
  const error: unknown = await readAll(input).catch((one: unknown) => one);
  if (error instanceof Problem) return error;
  throw new Error(`no problem: ${JSON.stringify(error)}`);
}

const line = (id: string): string => JSON.stringify({ object_id: id, data: { n: 1 } });
const idsAt = ({ objects }: { objects: BatchObject[] }): string[] =>
  objects.map((one) => `${String(one.position)}:${one.objectId}`);
const pointersOf = (errors: Problem['errors']): (string | undefined)[] =>
  errors.map((error) => ('pointer' in error ? error.pointer : undefined));

describe('a stream of lines', () => {
  it('has the same objects at the same lines, for any chunks and line endings', async () => {
    const text = fc.constantFrom('a', 'é', '👢', '\u2028', '\\n', '\\u000a', ' ');
    const lines = fc.array(fc.oneof(fc.array(text, { minLength: 1, maxLength: 5 }), fc.constantFrom('', ' ', '\t ')));
    const cuts = fc.infiniteStream(fc.integer({ min: 1, max: 40 }));
    const check = async (sent: (string | string[])[], widths: Iterator<number>, end: string, isEnded: boolean) => {
      const ids = sent.map((one, i) => (typeof one === 'string' ? one : `${String(i)} ${one.join('')}`));
      const isBlank = (id: string): boolean => id.trim() === '';
      const texts = ids.map((id) => (isBlank(id) ? id : `{"object_id":"${id.replaceAll('\\', '\\\\')}","data":[]}`));
      const bytes = Buffer.from(texts.join(end) + (isEnded ? end : ''));
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length;) {
        const width = Number(widths.next().value);
        pieces.push(bytes.subarray(at, at + width));
        at += width;
      }
      const wanted = ids.map((id, i) => `${String(i + 1)}:${id}`).filter((_, i) => !isBlank(ids[i] ?? ''));
      expect(idsAt(await readAll(inputOf(pieces)))).toEqual(wanted);
    };
    await fc.assert(fc.asyncProperty(lines, cuts, fc.constantFrom('\n', '\r\n'), fc.boolean(), check), {
      numRuns: 200,
    });
  });

  it.each([
    ['no chunks', []],
    ['an empty chunk', ['']],
    ['only line endings', ['\n\r\n\n']],
    ['a long line of spaces and tabs', [`${' \t'.repeat(500)}\n`]],
  ])('can have no objects: %s', async (_, pieces) => {
    expect((await readAll(inputOf(pieces))).objects).toEqual([]);
  });

  it('numbers its lines from 1 in pointers', () => {
    expect(inputOf([]).pointerTo(1)).toBe('/lines/1');
  });

  it('is read before its end has arrived', async () => {
    const pieces = Array.from({ length: 1_000 }, (_, i) => `${line(String(i).padEnd(200, 'x'))}\n`);
    const { body, readCount } = bodyOf(pieces);
    for await (const { objects } of parser.parseNdjson(body, 'b').chunks()) {
      expect(objects.length).toBeGreaterThan(0);
      break;
    }
    expect(readCount()).toBeLessThan(500);
  });

  it('rejects with the error of its body', async () => {
    const bytes = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from(`${line('a')}\n`);
      throw await Promise.resolve(new Error('broken'));
    };
    await expect(
      readAll(parser.parseNdjson(new RequestStream('application/x-ndjson', bytes(), 'client'), 'b')),
    ).rejects.toThrow('broken');
  });
});

describe('an invalid line', () => {
  it.each<[string, string | Buffer, string[]]>([
    ['not JSON', 'nonsense', ['/lines/3']],
    ['two values', '{}{}', ['/lines/3']],
    ['an incomplete object', '{"object_id":"x",', ['/lines/3']],
    ['a byte order mark', `\ufeff${line('x')}`, ['/lines/3']],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22]), ['/lines/3']],
    ['a byte that is a space only in Latin-1', Buffer.from([0xa0]), ['/lines/3']],
    ['a vertical tab, which is not JSON white space', '\v', ['/lines/3']],
    ['an array', '[]', ['/lines/3']],
    ['a number', '7', ['/lines/3']],
    ['an unknown member', '{"object_id":"x","data":[],"a/b":1}', ['/lines/3/a~1b']],
    ['a batch', '{"batch_id":"x","objects":[]}', ['/lines/3/data', '/lines/3/objects']],
    [
      'an invalid pair',
      '{"object_id":"x","data":[{"key":"k","value":1},{"key":"","value":1}]}',
      ['/lines/3/data/1/key'],
    ],
    ['a member given twice', '{"object_id":"x","object_id":"y","data":[]}', ['/lines/3/object_id']],
    ['a name given twice inside a value', '{"object_id":"x","data":{"k":{"a":1,"a":2}}}', ['/lines/3/data/k/a']],
    ['U+0000', '{"object_id":"x","data":{"k":"\\u0000"}}', ['/lines/3/data/k']],
    ['a lone surrogate', '{"object_id":"x","subject":"\\ud800","data":{}}', ['/lines/3/subject']],
    ['a number that cannot be stored', '{"object_id":"x","data":{"k":1e131072}}', ['/lines/3/data/k']],
    ['numbers that are too long without exponents', '{"object_id":"x","data":{"k":1e9000}}', ['/lines/3']],
    ['a reserved id', '{"object_id":"search","data":{}}', ['/lines/3/object_id']],
  ])('is reported with its number, and the other lines are returned: %s', async (_, invalid, pointers) => {
    const pieces = [`${line('a')}\n\n`, invalid, `\n${line('b')}\n`];
    const { objects, rejected } = await readAll(inputOf(pieces));
    expect(idsAt({ objects })).toEqual(['1:a', '4:b']);
    expect([rejected.objects, rejected.count, pointersOf(rejected.listed).sort()]).toEqual([
      1,
      pointers.length,
      pointers,
    ]);
    for (const { detail } of rejected.listed) expect(detail).toMatch(/^\S/);
  });

  it('that exceeds the limit with its exponents written out names the limit', async () => {
    const { rejected } = await readAll(inputOf(['{"object_id":"x","data":{"k":1e9000}}']));
    const detail = 'exceeds object_limit_bytes, 2000 bytes, with its exponents written out; see /api/v1/limits';
    expect(rejected.listed).toEqual([{ pointer: '/lines/1', detail }]);
  });

  it('lists at most 100 errors, and counts all where all lines are read', async () => {
    const { rejected } = await readAll(inputOf(manyErrors()));
    expect([rejected.listed.length, rejected.count]).toEqual([100, 500]);
    expect(pointersOf(rejected.listed).slice(0, 2)).toEqual(['/lines/5', '/lines/15']);
  });

  it('ends the validation of a batch that is not stored in part after 100 errors, and the count is a minimum', async () => {
    const { body, readCount } = bodyOf(manyErrors());
    const reader = await InputReader.open(parser.parseNdjson(body, 'b'), 0, 1);
    expect(reader.isInvalid).toBe(true);
    const { errors, errorCount, message, extra } = await reader.readErrors();
    expect([errors.length, message, extra]).toEqual([
      100,
      `At least ${String(errorCount)} validation errors.`,
      { error_count_is: 'at_least' },
    ]);
    expect(errorCount).toBeLessThan(500);
    expect(readCount()).toBeLessThan(2_000);
  });

  it('has all errors counted where there are fewer than 100', async () => {
    const reader = await InputReader.open(inputOf(manyErrors(600)), 0, 1);
    expect(await reader.readErrors()).toMatchObject({ message: '60 validation errors.', errorCount: 60, extra: {} });
  });

  it('has the errors found so far where the rest of the stream cannot be read', async () => {
    async function* bytes(): AsyncGenerator<Buffer> {
      yield Buffer.from('{\n'.repeat(5) + `${line('a')}\n`.repeat(300));
      await Promise.resolve();
      throw new Problem('request-timeout', { detail: 'too slow' });
    }
    const reader = await InputReader.open(
      parser.parseNdjson(new RequestStream('application/x-ndjson', bytes(), 'client'), 'b'),
      0,
      1,
    );
    const { slug, errorCount, extra } = await reader.readErrors();
    expect([slug, errorCount, extra]).toEqual(['invalid-body', 5, { error_count_is: 'at_least' }]);
  });

  it('stops the reader before the rest of the body arrives', async () => {
    const { body, readCount } = bodyOf(Array.from({ length: 1_000 }, () => `${'{'.padEnd(500, ' ')}\n`));
    const reader = await InputReader.open(parser.parseNdjson(body, 'b'), 0, 1);
    expect([reader.isInvalid, await reader.next()]).toEqual([true, null]);
    expect(readCount()).toBeLessThan(500);
  });
});

/** Every tenth line is invalid. */
function manyErrors(count = 5_000): string[] {
  return Array.from({ length: count }, (_, i) => (i % 10 === 4 ? 'nonsense\n' : `${line(String(i))}\n`));
}

describe('a line over object_limit_bytes', () => {
  const fitting = line('x').length;
  const long = (length: number): string => line('x'.repeat(length - fitting + 1));

  it('is rejected with its number, for any chunks', async () => {
    const tooLong = `{"object_id":"x","data":{"k":"${'x'.repeat(LIMIT)}"}}`;
    for (const pieces of [
      [`${line('a')}\n\n${tooLong}\n`],
      [`${line('a')}\n\n${tooLong}`],
      [`${line('a')}\n`, '\n', ...tooLong, '\n'],
    ]) {
      const problem = await problemOf(inputOf(pieces));
      expect(problem.slug).toBe('too-large');
      expect(problem.message).toMatch(/^Line 3 exceeds object_limit_bytes, 2000 bytes; see \/api\/v1\/limits\.$/);
    }
  });

  it('is rejected as soon as it exceeds the limit, so an endless line does not exhaust memory', async () => {
    const endless = function* (): Generator<string> {
      for (;;) yield 'x'.repeat(100);
    };
    const { body, readCount } = bodyOf(endless());
    expect((await problemOf(parser.parseNdjson(body, 'b'))).slug).toBe('too-large');
    expect(readCount()).toBe(LIMIT / 100 + 1);
  });

  it('is rejected after many valid lines and after invalid lines', async () => {
    const before = Array.from({ length: 3_000 }, (_, i) => `${line(String(i).padEnd(100, 'x'))}\n`);
    expect((await problemOf(inputOf([...before, 'x'.repeat(LIMIT + 1)]))).message).toContain('Line 3001 ');
    const invalid = await problemOf(inputOf(['bad\n', ...before, 'x'.repeat(LIMIT + 1)]));
    expect([invalid.slug, invalid.message]).toEqual(['too-large', expect.stringContaining('Line 3002 ')]);
  });

  it('is accepted at exactly the limit', async () => {
    expect(Buffer.byteLength(long(200))).toBe(200);
    const padded = `${' '.repeat(LIMIT - 200)}${long(200)}`;
    expect((await readAll(inputOf([`${padded}\n${padded}`]))).objects).toHaveLength(2);
    expect((await problemOf(inputOf([` ${padded}\n`]))).slug).toBe('too-large');
  });
});

describe('the lines of an export', () => {
  const exported = (id: string, batch = 'b'): string => `{"object_id":"${id}","batch_id":"${batch}","data":[]}`;
  const end = (count: unknown): string => JSON.stringify({ export: { count, sha256: 'ab' } });
  const errorsOf = async (...lines: string[]): Promise<Problem['errors']> =>
    (await readAll(inputOf([lines.join('\n')]))).rejected.listed;

  it('are objects, with the id of their batch, and the last line is none', async () => {
    const { objects, rejected } = await readAll(inputOf([exported('x'), '\n\n', line('y'), '\n', end(2), '\n\n']));
    expect([objects.map(({ objectId }) => objectId), rejected.count]).toEqual([['x', 'y'], 0]);
  });

  it('of another batch are rejected', async () => {
    expect(await errorsOf(exported('x'), exported('y', 'c'))).toEqual([
      { pointer: '/lines/2/batch_id', detail: 'must be "b", the batch of the request, or be omitted' },
    ]);
  });

  it.each([1, 3, '2', null])('are rejected where the last line has the count %p of 2 objects', async (count) => {
    expect(await errorsOf(exported('x'), exported('y'), end(count))).toEqual([
      { pointer: '/lines/3/export/count', detail: expect.stringMatching(/^must be 2, the number of objects/) },
    ]);
  });

  it('are rejected after the last line, also in a later chunk', async () => {
    const lines = Array.from({ length: 300 }, (_, i) => exported(String(i)));
    expect(await errorsOf(end(0), ...lines)).toHaveLength(100);
    expect((await errorsOf(...lines, end(300), line('late')))[0]).toMatchObject({ pointer: '/lines/302' });
  });

  it('are rejected where the last line is not JSON', async () => {
    expect(await errorsOf('{"export":')).toMatchObject([{ pointer: '/lines/1/export/count' }]);
  });
});

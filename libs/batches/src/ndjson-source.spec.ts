import { Config } from '#platform';
import { NdjsonBody, Problem } from '#http';
import { beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BadInput, type BatchSource, type CheckedObject } from './batch-source.js';
import { Ingest } from './ingest.js';
import { ObjectBodies } from '#objects';

const LIMIT = 2_000;

let ingest: Ingest;

beforeAll(() => {
  const settings = { DATABASE_URL: 'postgresql://none', STOWAGE_KEY_SECRET: 'x'.repeat(32) };
  ingest = new Ingest(new ObjectBodies(), new Config({ ...settings, BODY_LIMIT_BYTES: String(LIMIT) }));
});

/** A body that arrives in these pieces; `taken` tells how many of them were asked for. */
function bodyOf(pieces: Iterable<string | Buffer>): { body: NdjsonBody; taken: () => number } {
  let taken = 0;
  const bytes = async function* (): AsyncGenerator<Buffer> {
    for (const piece of pieces) {
      taken++;
      yield await Promise.resolve(Buffer.from(piece));
    }
  };
  return { body: new NdjsonBody(bytes()), taken: () => taken };
}

const sourceOf = (pieces: Iterable<string | Buffer>, partial = false): BatchSource =>
  ingest.readLines(bodyOf(pieces).body, partial);

async function readAll(source: BatchSource): Promise<CheckedObject[]> {
  const objects: CheckedObject[] = [];
  for await (const chunk of source.chunks()) objects.push(...chunk);
  return objects;
}

/** What a source of mistakes comes to in the end. */
async function problemOf(source: BatchSource): Promise<Problem> {
  let error: unknown = await readAll(source).catch((one: unknown) => one);
  if (error instanceof BadInput) error = await Promise.resolve(error.readOn()).catch((one: unknown) => one);
  if (error instanceof Problem) return error;
  throw new Error(`no problem: ${JSON.stringify(error)}`);
}

const line = (id: string): string => JSON.stringify({ object_id: id, data: { n: 1 } });
const idsAt = (objects: CheckedObject[]): string[] => objects.map((one) => `${String(one.place)}:${one.objectId}`);
const pointersOf = (problem: Pick<Problem, 'errors'>): (string | undefined)[] =>
  problem.errors.map((error) => ('pointer' in error ? error.pointer : undefined));

describe('a stream of lines', () => {
  it('is the same objects at the same lines, wherever it is cut into pieces and however its lines end', async () => {
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
      expect(idsAt(await readAll(sourceOf(pieces)))).toEqual(wanted);
    };
    await fc.assert(fc.asyncProperty(lines, cuts, fc.constantFrom('\n', '\r\n'), fc.boolean(), check), {
      numRuns: 200,
    });
  });

  it.each([
    ['nothing', []],
    ['an empty piece', ['']],
    ['line ends', ['\n\r\n\n']],
    ['a long line of spaces and tabs', [`${' \t'.repeat(500)}\n`]],
  ])('may be of no objects at all: %s', async (_, pieces) => {
    expect(await readAll(sourceOf(pieces))).toEqual([]);
  });

  it('points at its lines, from 1', () => {
    expect(sourceOf([]).pointerOf(1)).toBe('/lines/1');
  });

  it('is given on before all of it is there', async () => {
    const pieces = Array.from({ length: 1_000 }, (_, i) => `${line(String(i).padEnd(200, 'x'))}\n`);
    const { body, taken } = bodyOf(pieces);
    for await (const chunk of ingest.readLines(body, false).chunks()) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(taken()).toBeLessThan(500);
  });

  it('that breaks off gives its error on', async () => {
    const bytes = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from(`${line('a')}\n`);
      throw await Promise.resolve(new Error('broke off'));
    };
    await expect(readAll(ingest.readLines(new NdjsonBody(bytes()), false))).rejects.toThrow('broke off');
  });
});

describe('a bad line', () => {
  it.each<[string, string | Buffer, string[]]>([
    ['no JSON', 'nonsense', ['/lines/3']],
    ['two values', '{}{}', ['/lines/3']],
    ['half an object', '{"object_id":"x",', ['/lines/3']],
    ['a byte-order mark', `\ufeff${line('x')}`, ['/lines/3']],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), ['/lines/3']],
    ['a byte that only Latin-1 takes for a space', Buffer.from([0xa0]), ['/lines/3']],
    ['a vertical tab, which is no space of JSON', '\v', ['/lines/3']],
    ['no object', '[]', ['/lines/3']],
    ['a number', '7', ['/lines/3']],
    ['an unknown member', '{"object_id":"x","data":[],"a/b":1}', ['/lines/3/a~1b']],
    [
      'a batch',
      '{"batch_id":"x","objects":[]}',
      ['/lines/3/batch_id', '/lines/3/data', '/lines/3/object_id', '/lines/3/objects'],
    ],
    ['a bad pair', '{"object_id":"x","data":[{"key":"k","value":1},{"key":"","value":1}]}', ['/lines/3/data/1/key']],
    ['a name given twice', '{"object_id":"x","object_id":"y","data":[]}', ['/lines/3/object_id']],
    ['a nested value of a key given twice', '{"object_id":"x","data":{"k":[],"k":1}}', ['/lines/3/data/k']],
    ['U+0000', '{"object_id":"x","data":{"k":"\\u0000"}}', ['/lines/3/data/k']],
    ['half a surrogate pair', '{"object_id":"x","subject":"\\ud800","data":{}}', ['/lines/3/subject']],
    ['a number that cannot be stored', '{"object_id":"x","data":{"k":1e131072}}', ['/lines/3/data/k']],
    ['numbers that are too long when written out', '{"object_id":"x","data":{"k":1e9000}}', ['/lines/3']],
    ['an id that is an address', '{"object_id":"search","data":{}}', ['/lines/3/object_id']],
  ])('is named with its number: %s', async (_, bad, pointers) => {
    const pieces = [`${line('a')}\n\n`, bad, `\n${line('b')}\n`];
    const problem = await problemOf(sourceOf(pieces));
    expect([problem.slug, problem.errorCount]).toEqual(['invalid-body', pointers.length]);
    expect(pointersOf(problem).sort()).toEqual(pointers);
    for (const { detail } of problem.errors) expect(detail).toMatch(/^\S/);

    const partial = sourceOf(pieces, true);
    expect(idsAt(await readAll(partial))).toEqual(['1:a', '4:b']);
    expect([partial.rejected.objects, pointersOf(partial.rejected).sort()]).toEqual([1, pointers]);
  });

  it('does not keep the others from being named: a hundred of them, and how many there are', async () => {
    const pieces = Array.from({ length: 5_000 }, (_, i) => (i % 10 === 4 ? 'nonsense\n' : `${line(String(i))}\n`));
    for (const partial of [false, true]) {
      const source = sourceOf(pieces, partial);
      const { errors, errorCount } = partial
        ? await readAll(source).then(() => source.rejected)
        : await problemOf(source);
      expect([errors.length, errorCount]).toEqual([100, 500]);
      expect(pointersOf({ errors }).slice(0, 2)).toEqual(['/lines/5', '/lines/15']);
    }
  });

  it('is told before the rest is read, so that nobody has to wait for it', async () => {
    const { body, taken } = bodyOf(Array.from({ length: 1_000 }, () => `${'{'.padEnd(500, ' ')}\n`));
    await expect(readAll(ingest.readLines(body, false))).rejects.toThrow(BadInput);
    expect(taken()).toBeLessThan(500);
  });
});

describe('a line over BODY_LIMIT_BYTES', () => {
  const fitting = line('x').length;
  const long = (length: number): string => line('x'.repeat(length - fitting + 1));

  it.each([false, true])('is refused with its number, however it arrives (partial: %p)', async (partial) => {
    const tooLong = `{"object_id":"x","data":{"k":"${'x'.repeat(LIMIT)}"}}`;
    for (const pieces of [
      [`${line('a')}\n\n${tooLong}\n`],
      [`${line('a')}\n\n${tooLong}`],
      [`${line('a')}\n`, '\n', ...tooLong, '\n'],
    ]) {
      const problem = await problemOf(sourceOf(pieces, partial));
      expect(problem.slug).toBe('too-large');
      expect(problem.message).toMatch(/^Line 3 is over BODY_LIMIT_BYTES, 2000 bytes; see \/api\/v1\/limits\.$/);
    }
  });

  it('is refused when no more than the limit has come, so that an endless one fills no memory', async () => {
    const endless = function* (): Generator<string> {
      for (;;) yield 'x'.repeat(100);
    };
    const { body, taken } = bodyOf(endless());
    expect((await problemOf(ingest.readLines(body, false))).slug).toBe('too-large');
    expect(taken()).toBe(LIMIT / 100 + 1);
  });

  it('is refused by its number after many others, and after bad ones', async () => {
    const before = Array.from({ length: 3_000 }, (_, i) => `${line(String(i).padEnd(100, 'x'))}\n`);
    expect((await problemOf(sourceOf([...before, 'x'.repeat(LIMIT + 1)]))).message).toContain('Line 3001 ');
    const bad = await problemOf(sourceOf(['bad\n', ...before, 'x'.repeat(LIMIT + 1)]));
    expect([bad.slug, bad.message]).toEqual(['too-large', expect.stringContaining('Line 3002 ')]);
  });

  it('is not one that just reaches it', async () => {
    expect(Buffer.byteLength(long(200))).toBe(200);
    const padded = `${' '.repeat(LIMIT - 200)}${long(200)}`;
    expect(await readAll(sourceOf([`${padded}\n${padded}`]))).toHaveLength(2);
    expect((await problemOf(sourceOf([` ${padded}\n`]))).slug).toBe('too-large');
  });
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { JsonBody } from './json-body.js';
import { findList, type JsonList } from './json-list.js';
import { Problem } from './problems.js';

const MIB = 1024 ** 2;

const NO_LIMIT = { max: Infinity, name: 'LIMIT', plural: 'elements' };
const find = (text: string, member: string | null = 'list', limit = NO_LIMIT): Promise<JsonList | null> =>
  findList(new JsonBody(Buffer.from(text), Infinity), member, limit);
const valuesOf = (list: JsonList): unknown[] =>
  list.chunks.flatMap((chunk) => JSON.parse(`[${list.textOf(chunk)}]`) as unknown[]);

async function found(text: string, member: string | null = 'list'): Promise<JsonList> {
  const list = await find(text, member);
  if (list === null) throw new Error('no list was found');
  return list;
}

async function problemOf(text: string, member: string | null = 'list'): Promise<Problem> {
  const error: unknown = await find(text, member).catch((one: unknown) => one);
  if (error instanceof Problem) return error;
  throw new Error('no problem');
}

const parse = (text: string): unknown => JSON.parse(text);

/** A list of this many bytes, of elements that are far below the limit of one. */
const listOf = (bytes: number): string => `[${'[1],'.repeat(bytes / 4)}2]`;

describe('the list of a body', () => {
  it('has the elements that JSON.parse finds, whatever is around it', async () => {
    const space = fc.constantFrom('', ' ', '\n\t', '\r\n');
    const body = fc.record({
      before: fc.json(),
      list: fc.array(fc.jsonValue(), { maxLength: 8 }),
      after: fc.json(),
      s: space,
    });
    await fc.assert(
      fc.asyncProperty(body, async ({ before, list, after, s }) => {
        const values = parse(JSON.stringify(list));
        const elements = list.map((one) => JSON.stringify(one)).join(`${s},${s}`);
        const text = `${s}{${s}"a"${s}:${before},${s}"l\\u0069st":${s}[${s}${elements}${s}]${s},"b":${after}${s}}${s}`;
        const one = await found(text);
        expect([valuesOf(one), one.count]).toEqual([values, list.length]);
        expect(parse(one.rest.bytes.toString())).toEqual({ a: parse(before), list: [], b: parse(after) });
        const whole = await found(`${s}[${s}${elements}${s}]${s}`, null);
        expect([valuesOf(whole), parse(whole.rest.bytes.toString())]).toEqual([values, []]);
      }),
      { numRuns: 500 },
    );
  });

  it('is divided into chunks of at most 250 elements, which end after 256 KiB', async () => {
    const many = await found(`{"list":${JSON.stringify(Array.from({ length: 600 }, (_, i) => i))}}`);
    expect(many.chunks.map((chunk) => many.textOf(chunk).split(',').length)).toEqual([250, 250, 100]);
    const large = await found(JSON.stringify({ list: Array.from({ length: 5 }, () => 'x'.repeat(200_000)) }));
    expect(large.chunks.map(({ start, end }) => end - start)).toEqual([400_005, 400_005, 200_002]);
  });

  it.each(['7', '[1]', '{}', '{"list":{}}', '{"list":"[1]"}', '{"a":{"list":[1]}}', '{"list":[1],"list":2}'])(
    'is null in a small body without one: %s',
    async (text) => {
      expect(await find(text)).toBeNull();
    },
  );

  it.each(['x', ']', ',', '[1]', '{}'])(
    'that is the whole body is followed by white space only, not by %s',
    async (end) => {
      const problem = await problemOf(`[1]\n${end}\n`, null);
      expect(problem).toMatchObject({ slug: 'malformed-request', location: { line: 2, column: 1 } });
      expect((await found('[1]\n\n', null)).count).toBe(1);
    },
  );

  it('is the last of two with the same name, and the first is a part of the rest', async () => {
    const list = await found('{"list":[1],"list":[2]}');
    expect(valuesOf(list)).toEqual([2]);
    expect(() => list.rest.read()).toThrow(Problem);
  });
});

describe('a body over 1 MiB', () => {
  it('may have a list of any size', async () => {
    expect((await found(`{"list":${listOf(3 * MIB)},"a":1}`)).count).toBe((3 * MIB) / 4 + 1);
  });

  it('is not read beyond the largest number of elements', async () => {
    const limit = { max: 3, name: 'LIST_MAX', plural: 'elements' };
    const body = (elements: string): string => `{"list":[${elements}`;
    expect((await find(body('1,2,3]}'), 'list', limit))?.count).toBe(3);
    const invalid = body(`1,2,3,4,${'x'.repeat(3 * MIB)}`);
    await expect(find(invalid, 'list', limit)).rejects.toThrow(/more than 3 elements.*LIST_MAX/);
  });

  it('may have no element over object_limit_bytes, in bytes', async () => {
    const fits = `"${'é'.repeat(MIB / 2 - 1)}"`;
    expect((await found(`[1,${fits},2]`, null)).count).toBe(3);
    const problem = await problemOf(`{"list":${listOf(MIB).slice(0, -1)},${fits.replace('é', 'éx')}]}`);
    expect([problem.slug, problem.message]).toEqual([
      'too-large',
      `/list/${String(MIB / 4 + 1)} exceeds object_limit_bytes, 1048576 bytes; see /api/v1/limits.`,
    ]);
  });

  it.each<[string, string]>([
    ['without the list', `{"a":${listOf(2 * MIB)}}`],
    ['that is another list', listOf(2 * MIB)],
    ['with a long member before the list', `{"a":"${'x'.repeat(70_000)}","list":${listOf(2 * MIB)}}`],
    ['with a long member after it', `{"list":${listOf(2 * MIB)},"a":"${'x'.repeat(70_000)}"}`],
    ['with many members', `{"list":${listOf(2 * MIB)}${',"a":1'.repeat(20_000)}}`],
    ['with a long name', `{"list":${listOf(2 * MIB)},"${'x'.repeat(70_000)}":1}`],
    ['with two lists', `{"list":${listOf(2 * MIB)},"list":${listOf(2 * MIB)}}`],
    ['with a long end', `{"list":${listOf(2 * MIB)}}${' '.repeat(70_000)}`],
  ])('is rejected %s', async (_, text) => {
    const { slug, message } = await problemOf(text);
    expect([slug, message]).toEqual([
      'too-large',
      expect.stringContaining('at most 65536 bytes outside of its list "list"'),
    ]);
  });

  it('may not have long white space between elements', async () => {
    const problem = await problemOf(`{"list":[1,${' '.repeat(70_000)}2,${listOf(2 * MIB)}]}`);
    expect([problem.slug, problem.message]).toEqual([
      'malformed-request',
      expect.stringContaining('white space in a row'),
    ]);
  });

  it('has the place of a syntax error that makes a part too long', async () => {
    const text = `{\n"list":[1,"open,${'x'.repeat(MIB + 100_000)}]}`;
    expect(await problemOf(text)).toMatchObject({ slug: 'malformed-request', location: { line: 2 } });
  });
});

it.each(['{"list":[1', '{"list":[1}', '{"list":[1 2]}', '{"list":[1],}x', '{"list"', '[', '{"list":["a]}', '{"a":[}'])(
  'a body that is not JSON is rejected with the place of the error, or found and rejected when it is parsed: %s',
  async (text) => {
    for (const member of ['list', null]) {
      const list = await find(text, member).catch((error: unknown) => error);
      if (list instanceof Problem) expect(list).toMatchObject({ slug: 'malformed-request', location: { line: 1 } });
      else if (list === null) expect(() => new JsonBody(Buffer.from(text), Infinity).read()).toThrow(Problem);
      else expect(() => (list as JsonList).rest.read()).toThrow(Problem);
    }
  },
);

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isLastPage, pageSql, toSlice, type CursorPosition } from '#database';
import { Config } from '#platform';
import { decodeCursor, encodeCursor, fingerprintOf, type ListOrder, NEWEST_FIRST } from './cursor.js';
import {
  linkHeader,
  pageBody,
  pageRequest,
  pageText,
  type PageQuery,
  type PageRequest,
  URL_LENGTH_MAX,
} from './paging.js';
import { Problem } from './problems.js';

const FINGERPRINT = fingerprintOf('things', 1);
const LATEST_FIRST: ListOrder = { isAscending: false, keys: ['time'] };
const BY_TEXT_AND_TIME: ListOrder = { isAscending: true, keys: ['text', 'time'] };
const config = new Config({});

/** The members of a request that pages use. */
function requestOf(originalUrl: string): FastifyRequest {
  const request = { protocol: 'http', host: 'server:8000', originalUrl, server: { publicUrl: null }, queries: null };
  return request as FastifyRequest;
}

/** The position of a link's cursor. */
function positionOf(link: string | null): CursorPosition {
  return decodeCursor(new URL(link ?? '').searchParams.get('cursor') ?? '', FINGERPRINT);
}

function pageOf(query: PageQuery, originalUrl = '/things'): PageRequest {
  return pageRequest(query, config, FINGERPRINT, { request: requestOf(originalUrl), reply: {} as FastifyReply });
}

function problemOf(work: () => unknown): Problem {
  try {
    work();
  } catch (error) {
    if (error instanceof Problem) return error;
  }
  throw new Error('no problem');
}

describe('a cursor', () => {
  it('decodes to the position that it encodes', () => {
    const position = fc.record<CursorPosition>({
      kind: fc.constantFrom('after', 'before'),
      seq: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String),
      oldestFirst: fc.boolean(),
    });
    const text = fc.string({ unit: 'binary', maxLength: 255 }).filter((key) => !key.includes('\0'));
    const keys = fc.oneof(fc.constant({}), fc.record({ keys: fc.tuple(text, fc.constant('2024-12-10T16:45:00Z')) }));
    fc.assert(
      fc.property(position, keys, (bySeq, sorted) => {
        const full = 'keys' in sorted ? { ...bySeq, ...sorted, oldestFirst: true } : bySeq;
        const order = 'keys' in sorted ? BY_TEXT_AND_TIME : NEWEST_FIRST;
        expect(decodeCursor(encodeCursor(full, FINGERPRINT), FINGERPRINT, order)).toEqual(full);
      }),
    );
  });

  it('is rejected with another filter', () => {
    const cursor = encodeCursor({ kind: 'after', seq: '5', oldestFirst: false }, FINGERPRINT);
    const problem = problemOf(() => decodeCursor(cursor, fingerprintOf('things', 2)));
    expect([problem.slug, problem.errors]).toEqual([
      'invalid-cursor',
      [{ parameter: 'cursor', detail: expect.stringContaining('another filter') }],
    ]);
  });

  it('is rejected by a list of another order', () => {
    const bySeq = { kind: 'after', seq: '5', oldestFirst: false } as const;
    const time = '2024-12-10T16:45:00Z';
    const ascending = { ...bySeq, oldestFirst: true };
    const byValue: ListOrder = { isAscending: true, keys: ['value'], hasMissing: true };
    for (const [position, order] of [
      [bySeq, LATEST_FIRST],
      [{ ...bySeq, keys: [time] }, NEWEST_FIRST],
      [{ ...bySeq, keys: ['yesterday'] }, LATEST_FIRST],
      [{ ...bySeq, keys: [time, time] }, LATEST_FIRST],
      [{ ...ascending, keys: ['a'] }, BY_TEXT_AND_TIME],
      [{ ...ascending, keys: ['\0', time] }, BY_TEXT_AND_TIME],
      ...['', 'x', 'n', 'n 1', 'n1e999999', 'n[1]', 's\0', 'f1', '1'].map(
        (key) => [{ ...ascending, keys: [key] }, byValue] as const,
      ),
      [{ ...bySeq, keys: ['n1'] }, byValue],
    ] as const) {
      const problem = problemOf(() => decodeCursor(encodeCursor(position, FINGERPRINT), FINGERPRINT, order));
      expect([problem.slug, problem.message]).toEqual([
        'invalid-cursor',
        expect.stringContaining('another filter, order or list'),
      ]);
    }
  });

  it.each([
    '',
    'n',
    'n5',
    'x5.',
    'n.',
    '5.',
    'n-5.',
    'nA.',
    'nzzzzzzzzzzzzz.',
    'n1y2p0ij32e8e8.',
    'n5.\n',
    'n5-.',
    'n5-!.',
  ])('is rejected when this API did not issue it: "%s"', (start) => {
    expect(problemOf(() => decodeCursor(start + FINGERPRINT, FINGERPRINT)).slug).toBe('invalid-cursor');
  });

  it('is rejected without an unexpected error, for any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(problemOf(() => decodeCursor(text, FINGERPRINT)).slug).toBe('invalid-cursor');
      }),
    );
  });
});

describe('fingerprintOf', () => {
  it('differs for lists with different results', () => {
    const all = [
      ['a', 'b'],
      ['ab'],
      ['a', ['b']],
      ['b', 'a'],
      ['a', 1],
      ['a', '1'],
      ['a', null],
      ['a', { b: 1 }],
      ['a', {}],
    ];
    expect(new Set(all.map((parts) => fingerprintOf(...parts))).size).toBe(all.length);
    expect(fingerprintOf('a', { b: [1] })).toBe(fingerprintOf('a', { b: [1] }));
  });
});

describe('pageRequest', () => {
  it('starts at the first result, with the default size', () => {
    expect(pageOf({})).toMatchObject({ position: { kind: 'offset', offset: 0 }, size: 10, count: 'capped' });
  });

  it('starts a numbered page at its offset', () => {
    expect(pageOf({ page: 3, page_size: 7 })).toMatchObject({ position: { kind: 'offset', offset: 14 }, size: 7 });
  });

  it('accepts PAGE_SIZE_MAX and rejects a larger size', () => {
    expect(pageOf({ page_size: 1000 }).size).toBe(1000);
    expect(problemOf(() => pageOf({ page_size: 1001 }))).toMatchObject({
      slug: 'invalid-query',
      errors: [{ parameter: 'page_size', detail: 'must be at most 1000 (PAGE_SIZE_MAX)' }],
    });
  });

  it('rejects page together with cursor', () => {
    const cursor = encodeCursor({ kind: 'after', seq: '5', oldestFirst: false }, FINGERPRINT);
    expect(problemOf(() => pageOf({ cursor, page: 1 })).errors).toEqual([
      expect.objectContaining({ parameter: 'page' }),
    ]);
  });
});

describe('the links of a page', () => {
  const items = [{ seq: '9' }, { seq: '7' }];

  interface Links {
    next: string | null;
    previous: string | null;
  }

  function linksOf(
    page: PageRequest,
    slice: { items: { seq: string }[]; hasNext: boolean; hasPrevious: boolean },
  ): Links {
    return pageBody(page, slice, { count: 2, count_is: 'exact' }) as Links;
  }

  it('continue after the last and before the first result', () => {
    const links = linksOf(pageOf({ page: 2 }), { items, hasNext: true, hasPrevious: true });
    expect(positionOf(links.next)).toEqual({ kind: 'after', seq: '7', oldestFirst: false });
    expect(positionOf(links.previous)).toEqual({ kind: 'before', seq: '9', oldestFirst: false });
  });

  it('are null where no results follow', () => {
    expect(linksOf(pageOf({}), { items, hasNext: false, hasPrevious: false })).toMatchObject({
      next: null,
      previous: null,
    });
  });

  it('are absolute URLs that keep every parameter but page and cursor', () => {
    const url = '/things?data=%7B%22a%22%3A%22%26%20%C3%BC%22%7D&page=2&page_size=2&count=none';
    const { next } = linksOf(pageOf({ page: 2, page_size: 2 }, url), { items, hasNext: true, hasPrevious: true });
    const link = new URL(next ?? '');
    expect([link.origin, link.pathname]).toEqual(['http://server:8000', '/things']);
    const { cursor: _, ...parameters } = Object.fromEntries(link.searchParams);
    expect(parameters).toEqual({ data: '{"a":"& ü"}', page_size: '2', count: 'none' });
  });

  it.each([
    [true, '6'],
    [false, '4'],
  ])('lead back from an empty page to the result at its cursor (oldest first: %s)', (oldestFirst, seq) => {
    const cursor = encodeCursor({ kind: 'after', seq: '5', oldestFirst }, FINGERPRINT);
    const { previous } = linksOf(pageOf({ cursor }), { items: [], hasNext: false, hasPrevious: true });
    expect(positionOf(previous)).toEqual({ kind: 'before', seq, oldestFirst });
  });
});

describe('a page beyond the end', () => {
  const page = pageOf({ page: 50, page_size: 10 }, '/things?page=50&page_size=10');
  const empty = { items: [], hasNext: false, hasPrevious: true };

  it('links to the last page as the previous one', () => {
    const { next, previous } = pageBody(page, empty, { count: null }) as { next: null; previous: string };
    expect(next).toBeNull();
    const position = positionOf(previous);
    expect(isLastPage(position)).toBe(true);
    for (const list of [{ seq: 'seq' }, { seq: 'seq', time: 'at' }]) {
      const sql = pageSql({ ...list, select: 'seq', from: 'things', where: 'true', values: [] }, { position, size: 2 });
      expect(sql.text).toMatch(/WHERE true ORDER BY (?:at ASC, )?seq ASC LIMIT/);
    }
    expect(toSlice([1, 2, 3], { position, size: 2 })).toEqual({ items: [2, 1], hasNext: false, hasPrevious: true });
  });
});

describe('the links of a page', () => {
  const slice = { items: [{ seq: '7' }], hasNext: true, hasPrevious: false };
  const nextOf = (path: string): string =>
    (pageBody(pageOf({}, path), slice, { count: null }) as { next: string }).next;

  it('keep the other parameters as they were sent', () => {
    const next = nextOf('/things?data={%22a%22:1}&page=3&%70age=4&cursor=x&value=a+b%20c');
    expect(next).toMatch(/^http:\/\/server:8000\/things\?data=\{%22a%22:1\}&value=a\+b%20c&cursor=n7\.[\w-]{12}$/);
  });

  it('keep dot segments, which can be room names', () => {
    expect(nextOf('/buildings/../rooms/%2E/readings?page_size=5')).toMatch(
      /^http:\/\/server:8000\/buildings\/\.\.\/rooms\/%2E\/readings\?page_size=5&cursor=n7\./,
    );
  });

  it('are never longer than the URLs that the server accepts', () => {
    const longest = `/things?value=${'x'.repeat(URL_LENGTH_MAX - 79)}`;
    const path = nextOf(longest).slice('http://server:8000'.length);
    expect(path.length).toBeLessThanOrEqual(URL_LENGTH_MAX);
    expect(nextOf(path).length).toBe(nextOf(longest).length);
    expect(problemOf(() => pageOf({}, `${longest}x`)).slug).toBe('uri-too-long');
    // Quotation marks are percent-encoded in links.
    expect(problemOf(() => pageOf({}, `/things?value=${'"'.repeat(12_000)}`)).slug).toBe('uri-too-long');
  });
});

describe('the Link header of a page', () => {
  it('contains the next and the previous page, and is absent if there is only one page', () => {
    const items = [
      { seq: '9', keys: ['2024-12-10T16:45:00.5Z'] },
      { seq: '7', keys: ['2024-12-10T16:45:00Z'] },
    ];
    const page = pageOf({ page: 2 });
    const header = linkHeader(page, { items, hasNext: true, hasPrevious: true }) ?? '';
    const [, next = '', previous = ''] = /^<([^>]+)>; rel="next", <([^>]+)>; rel="prev"$/.exec(header) ?? [];
    const cursors = [next, previous].map((link) => new URL(link).searchParams.get('cursor') ?? '');
    expect(cursors.map((cursor) => decodeCursor(cursor, FINGERPRINT, LATEST_FIRST))).toEqual([
      { kind: 'after', seq: '7', oldestFirst: false, keys: ['2024-12-10T16:45:00Z'] },
      { kind: 'before', seq: '9', oldestFirst: false, keys: ['2024-12-10T16:45:00.5Z'] },
    ]);
    expect(linkHeader(page, { items, hasNext: false, hasPrevious: false })).toBeUndefined();
  });
});

describe('the body of a page', () => {
  it('is the same for values and for JSON text, without sequence numbers', () => {
    const slice = {
      items: [
        { seq: '9', a: 'x' },
        { seq: '7', a: 'y' },
      ],
      hasNext: true,
      hasPrevious: false,
    };
    const texts = slice.items.map(({ a }) => JSON.stringify({ a }));
    const text = pageText(pageOf({}), slice, { count: 2, count_is: 'exact' }, texts);
    expect(JSON.parse(text)).toEqual(pageBody(pageOf({}), slice, { count: 2, count_is: 'exact' }));
    expect(text).not.toContain('"seq"');
    expect(JSON.parse(pageText(pageOf({}), { ...slice, items: [] }, { count: null }, []))).toMatchObject({
      count: null,
      results: [],
    });
  });
});

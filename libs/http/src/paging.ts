import { ApiProperty } from '@nestjs/swagger';
import {
  LAST_PAGE_SEQ,
  type Count,
  type CountedRange,
  type CursorPosition,
  type PagePosition,
  type Slice,
} from '#database';
import type { Config } from '#platform';
import {
  CURSOR_LENGTH,
  CURSOR_LENGTH_MAX,
  decodeCursor,
  encodeCursor,
  NEWEST_FIRST,
  type ListOrder,
} from './cursor.js';
import { ChoiceField, IntegerParameter, TextField } from './fields.js';
import type { HttpContext } from './http-context.js';
import { type InputPlace, rejectInput } from './input-place.js';
import { requestUrl } from './origin.js';
import { waitPreference } from './prefer.js';
import { Problem } from './problems.js';

const COUNT_MODES = ['exact', 'estimated', 'none'] as const;

/** The query parameters of every list. */
export class PageQuery {
  @IntegerParameter({
    min: 1,
    max: 1_000_000_000,
    description: 'The number of the page, from 1; cannot be combined with `cursor`.',
  })
  page?: number;

  @IntegerParameter({
    min: 1,
    description: 'Results on a page; default PAGE_SIZE, at most PAGE_SIZE_MAX, see /api/v1/limits.',
    example: 10,
  })
  page_size?: number;

  @TextField({
    optional: true,
    max: CURSOR_LENGTH_MAX,
    description: 'From `next` or `previous` of a page; valid with the same filter and order only.',
  })
  cursor?: string;

  @ChoiceField({
    optional: true,
    choices: COUNT_MODES,
    description:
      'How to count all results: `exact`, `estimated` from a sample where counting would be slow, or `none`. Default: exact without a filter, for one batch, for a key, and for a key with a value; otherwise exact up to COUNT_CAP. A count that takes longer than 2 s is cancelled, see `count_reason` and `Prefer`.',
  })
  count?: (typeof COUNT_MODES)[number];
}

export interface Page<T> {
  count: number | null;
  count_is?: string;
  count_reason?: string;
  next: string | null;
  previous: string | null;
  results: T[];
}

/** The DTO of a page of these results, for OpenAPI. @param links whether `next` and `previous` are URLs or cursors */
export function pageOf<T>(result: new () => T, links: 'URL' | 'cursor' = 'URL'): new () => Page<T> {
  class PageDto implements Page<T> {
    @ApiProperty({
      type: Number,
      nullable: true,
      description: 'The number of all results; null with count=none.',
      example: 1,
    })
    count: number | null;

    @ApiProperty({
      required: false,
      enum: ['exact', 'at_least', 'estimated'],
      description: 'The accuracy of `count`.',
      example: 'exact',
    })
    count_is?: string;

    @ApiProperty({
      required: false,
      description:
        'Present where counting took too long and was cancelled: why, and what to do. `count_is` is `at_least` then.',
    })
    count_reason?: string;

    @ApiProperty({
      type: String,
      nullable: true,
      description: `The ${links} of the next page; null on the last.`,
      example: null,
    })
    next: string | null;

    @ApiProperty({
      type: String,
      nullable: true,
      description: `The ${links} of the previous page; null on the first.`,
      example: null,
    })
    previous: string | null;

    @ApiProperty({ type: [result] })
    results: T[];
  }
  return PageDto;
}

/** The sort keys of a result. */
interface SortKeys {
  seq: string;
  /** Those before `seq`, as text; none in a list that is sorted by `seq` only, and for a result without a value. */
  keys?: readonly string[] | undefined;
}

/** A requested page. */
export interface PageRequest extends CountedRange {
  fingerprint: string;
  /**
   * The absolute URL of the list with the parameters of the request other than `page` and `cursor`, ready for another one. Null
   * where a link is only the cursor, which the next body has.
   */
  linkBase: string | null;
  /** Reserves memory for the rows of a large page, see `FastifyRequest.reserveForRows`. Default: none is reserved. */
  reserve?: (bytes: number) => void;
}

/**
 * How long counting may take without `Prefer: wait`. At 2 to 4 ms per 1,000 matches, it counts 500,000 matches. A longer count
 * would hold one of the connections that the requests of the project share.
 */
const COUNT_TIMEOUT_MS = 2_000;

/** The longest path and query that a request may have. */
export const URL_LENGTH_MAX = 32 * 1024;

export function urlTooLong(length: number): Problem {
  return new Problem('uri-too-long', {
    detail: `The path and query have ${String(length)} characters, with links to further pages; at most ${String(URL_LENGTH_MAX)} are accepted. Use a shorter filter.`,
  });
}

/**
 * Sets the header Preference-Applied where the count waits as long as the client prefers.
 * @param fingerprint see `fingerprintOf`
 * @param order that of the list
 * @throws Problem invalid-query for a size that exceeds the limit, or a page number together with a cursor; invalid-cursor;
 * uri-too-long where the links to other pages would be too long to be accepted
 */
export function pageRequest(
  query: PageQuery,
  config: Pick<Config, 'limits' | 'database'>,
  fingerprint: string,
  http: HttpContext,
  order = NEWEST_FIRST,
): PageRequest {
  const page = requestedPage(query, config, { fingerprint, order, place: 'query' }, http);
  const { origin, path, query: sent } = requestUrl(http.request);
  const target = `${path}?${withoutPosition(sent)}`;
  const linkLength = target.length + (order.keys.length === 0 ? CURSOR_LENGTH : CURSOR_LENGTH_MAX);
  if (linkLength > URL_LENGTH_MAX) throw urlTooLong(linkLength);
  return { ...page, linkBase: origin + target };
}

/**
 * The page that a body requests. Its links are cursors. Sets Preference-Applied like `pageRequest`.
 * @throws Problem invalid-body, invalid-cursor
 */
export function bodyPageRequest(
  body: PageQuery,
  config: Pick<Config, 'limits' | 'database'>,
  fingerprint: string,
  http: HttpContext,
  order = NEWEST_FIRST,
): PageRequest {
  return { ...requestedPage(body, config, { fingerprint, order, place: 'body' }, http), linkBase: null };
}

/** What the cursors of a list belong to, and where a request has its parameters. */
interface RequestedList {
  fingerprint: string;
  order: ListOrder;
  place: InputPlace;
}

function requestedPage(
  query: PageQuery,
  { limits, database }: Pick<Config, 'limits' | 'database'>,
  list: RequestedList,
  http: HttpContext,
): Omit<PageRequest, 'linkBase'> {
  const size = pageSizeOf(query, limits, list.place);
  const position = positionOf(query, size, list);
  return { position, size, fingerprint: list.fingerprint, ...readsOf(query, database, http) };
}

/** The requested size of a page. @throws Problem invalid-query or invalid-body where it exceeds the limit */
export function pageSizeOf(query: PageQuery, { pageSize, pageSizeMax }: Config['limits'], place: InputPlace): number {
  const size = query.page_size ?? pageSize;
  if (size > pageSizeMax) rejectInput(place, 'page_size', `must be at most ${String(pageSizeMax)} (PAGE_SIZE_MAX)`);
  return size;
}

function positionOf(
  { cursor, page }: PageQuery,
  size: number,
  { fingerprint, order, place }: RequestedList,
): PagePosition {
  if (cursor === undefined) {
    return { kind: 'offset', offset: ((page ?? 1) - 1) * size, oldestFirst: order.isAscending };
  }
  if (page !== undefined) rejectInput(place, 'page', 'cannot be combined with cursor');
  return decodeCursor(cursor, fingerprint, order, place);
}

/** How the page and its count are read. */
function readsOf(
  query: PageQuery,
  { queryTimeoutMs }: Config['database'],
  http: HttpContext,
): Pick<PageRequest, 'count' | 'reserve' | 'on' | 'countOn'> {
  const count = query.count ?? 'capped';
  const { queries } = http.request;
  const reserve = (bytes: number): void => {
    http.request.reserveForRows(bytes);
  };
  if (queries === null) return { count, reserve };
  const countOn = count === 'none' ? undefined : queries.forCount(countTimeoutMs(http, queryTimeoutMs));
  return { count, reserve, on: queries, countOn };
}

function countTimeoutMs({ request, reply }: HttpContext, queryTimeoutMs: number): number {
  const seconds = waitPreference(request.headers.prefer);
  if (seconds === null) return COUNT_TIMEOUT_MS;
  // The queries of the request end at QUERY_TIMEOUT_MS anyway.
  const applied = Math.min(seconds, Math.ceil(queryTimeoutMs / 1000));
  reply.header('Preference-Applied', `wait=${String(applied)}`);
  return applied * 1000;
}

/** The absolute URLs of the next and the previous page, which keep all other parameters of the request; or their cursors. */
function pageLinks(page: PageRequest, slice: Slice<SortKeys>): { next: string | null; previous: string | null } {
  return {
    next: slice.hasNext ? linkTo(page, 'after', slice.items.at(-1)) : null,
    previous: slice.hasPrevious ? linkTo(page, 'before', slice.items[0]) : null,
  };
}

/** The links as a `Link` header (RFC 8288), for a list whose body is a plain array; undefined without links. */
export function linkHeader(page: PageRequest, slice: Slice<SortKeys>): string | undefined {
  const { next, previous } = pageLinks(page, slice);
  const links = [
    ...(next === null ? [] : [`<${next}>; rel="next"`]),
    ...(previous === null ? [] : [`<${previous}>; rel="prev"`]),
  ];
  return links.length === 0 ? undefined : links.join(', ');
}

function linkTo(page: PageRequest, kind: CursorPosition['kind'], item: SortKeys | undefined): string | null {
  const { linkBase, position, fingerprint } = page;
  const sortKeys = item === undefined ? keysFromEmptyPage(position, kind) : { seq: item.seq, keys: item.keys };
  if (sortKeys === null) return null;
  const cursor = encodeCursor({ kind, oldestFirst: position.oldestFirst ?? false, ...sortKeys }, fingerprint);
  return linkBase === null ? cursor : `${linkBase}cursor=${cursor}`;
}

/**
 * A query without `page` and `cursor`, ready for another parameter. The rest stays as sent, because encoding it again can make
 * it longer.
 */
function withoutPosition(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .filter((parameter) => parameter !== '' && !['page', 'cursor'].includes(nameOf(parameter)))
    .map((parameter) => `${parameter}&`)
    .join('');
}

function nameOf(parameter: string): string {
  return decodeURIComponent(parameter.split('=', 1)[0] ?? '');
}

/**
 * The sort keys that a link from an empty page starts at. The page linked to includes the result at the cursor of the empty
 * page; a page past the end links to the last page.
 */
function keysFromEmptyPage(position: PagePosition, kind: CursorPosition['kind']): SortKeys | null {
  if (position.kind === 'offset') return kind === 'before' ? { seq: LAST_PAGE_SEQ } : null;
  const step = (kind === 'after') === position.oldestFirst ? -1n : 1n;
  const seq = (BigInt(position.seq) + step).toString();
  return { seq, keys: position.keys };
}

/** The JSON text of a page up to its first result; `]}` closes it. */
export function pageHead(page: PageRequest, slice: Slice<SortKeys>, count: Count): string {
  return `${JSON.stringify({ ...count, ...pageLinks(page, slice) }).slice(0, -1)},"results":[`;
}

/** The body of a page. */
export function pageBody<T extends SortKeys>(page: PageRequest, slice: Slice<T>, count: Count): object {
  return { ...count, ...pageLinks(page, slice), results: slice.items.map(({ seq: _, keys: __, ...result }) => result) };
}

/** The JSON text of a page whose results are JSON text. */
export function pageText(page: PageRequest, slice: Slice<SortKeys>, count: Count, results: readonly string[]): string {
  return `${pageHead(page, slice, count)}${results.join()}]}`;
}

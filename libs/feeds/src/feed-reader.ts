import type { Filter } from '#filter';
import { EventLoopYield, Config } from '#platform';
import { countOrMinimum, countShownBy, type Count, type Slice } from '#database';
import {
  fingerprintOf,
  linkHeader,
  NEWEST_FIRST,
  pageRequest,
  pageText,
  type HttpContext,
  type PageQuery,
  type PageRequest,
  projectIdOf,
} from '#http';
import { Injectable } from '@nestjs/common';
import { ObjectListStore } from '#objects';
import type { ObjectRow } from '#store';
import { LATEST_FIRST, ObservationStore } from './observation.store.js';

/** A list of a feed: a filter over objects, and how an object is shown. */
export interface FeedList<T> {
  /** Identifies the list; a cursor is valid only for the list that it was issued for. */
  scope: readonly [name: string, ...rest: unknown[]];
  /** Lists only objects about this subject, latest `observed_at` first. Default: every match, newest first. */
  subject?: string;
  /** With `subject`: lists only objects that have a number under the key `temperature`. */
  isMeasured?: true;
  filter: Filter;
  /** Converts an object; undefined for an object of another shape, which the list skips. */
  read: (row: ObjectRow) => T | undefined;
  /** Runs before any object is read. @throws Problem where the principal may not read the list */
  authorize?: () => Promise<void>;
  /**
   * Lists oldest first, up to PAGE_SIZE_MAX results on a page (fewer if they are large), without a count. Not together with
   * `subject`.
   */
  isUnpaged?: true;
}

/** The position before the first stored object. */
const FIRST = { kind: 'after', seq: '0', oldestFirst: true } as const;

/** A page of a feed's list. */
export class FeedPage<T> {
  constructor(
    readonly items: readonly T[],
    private readonly page: PageRequest,
    private readonly slice: Slice<ObjectRow>,
    private readonly count: () => Promise<Count>,
    private readonly reply: HttpContext['reply'],
  ) {}

  /** Whether no object matches; `items` may also be empty because the matches have another shape. */
  get isEmpty(): boolean {
    return this.slice.items.length === 0;
  }

  /** The page as JSON text. */
  async text(textOf: (item: T) => string): Promise<string> {
    this.reply.type('application/json; charset=utf-8').itemCount = this.items.length;
    return pageText(this.page, this.slice, await this.count(), this.items.map(textOf));
  }

  /** The results alone, for a body without page members; the header `Link` has the next and the previous page. */
  linked(): readonly T[] {
    const link = linkHeader(this.page, this.slice);
    this.reply.itemCount = this.items.length;
    if (link !== undefined) this.reply.header('Link', link);
    return this.items;
  }
}

/** Reads the lists of feeds. */
@Injectable()
export class FeedReader {
  constructor(
    private readonly observations: ObservationStore,
    private readonly objects: ObjectListStore,
    private readonly config: Config,
  ) {}

  /** @throws Problem invalid-query; invalid-cursor */
  async page<T>(list: FeedList<T>, query: PageQuery, http: HttpContext): Promise<FeedPage<T>> {
    const projectId = projectIdOf(http.request);
    const { scope, subject, filter, isUnpaged } = list;
    const [name, ...rest] = scope;
    const unpaged = {
      page_size: query.page_size ?? this.config.limits.pageSizeMax,
      cursor: query.cursor,
      count: 'none',
    } as PageQuery;
    const order = subject === undefined ? NEWEST_FIRST : LATEST_FIRST;
    const page = pageRequest(
      isUnpaged ? unpaged : query,
      this.config,
      fingerprintOf(name, projectId, ...rest),
      http,
      order,
    );
    const isFirst = isUnpaged && query.cursor === undefined;
    if (isFirst) page.position = FIRST;
    await list.authorize?.();

    const found =
      subject === undefined
        ? await this.objects.page(projectId, filter, page, isUnpaged)
        : { slice: await this.observations.page(projectId, { ...list, subject }, page), count: undefined };
    const slice = { ...found.slice, hasPrevious: found.slice.hasPrevious && !isFirst };
    const count = async (): Promise<Count> =>
      found.count ??
      (await countOrMinimum(
        this.observations.count(projectId, { ...list, subject: subject ?? '' }, page.count, page.countOn),
        countShownBy(page.position, found.slice),
      ));
    return new FeedPage(await readAll(projectId, slice.items, list), page, slice, count, http.reply);
  }

  /** Whether a list about a subject has any object. */
  async hasAny<T>({ subject = '', ...list }: FeedList<T>, { request }: HttpContext): Promise<boolean> {
    const { count } = await this.observations.count(
      projectIdOf(request),
      { subject, ...list },
      'capped',
      request.queries ?? undefined,
    );
    return count !== 0;
  }
}

/** Yields to the event loop in between: a factory with thousands of points takes milliseconds. */
async function readAll<T>(projectId: number, rows: readonly ObjectRow[], { read }: FeedList<T>): Promise<T[]> {
  const items: T[] = [];
  const pause = new EventLoopYield(projectId);
  for (const row of rows) {
    if (pause.isDue) await pause.yield();
    const item = read(row);
    if (item !== undefined) items.push(item);
  }
  return items;
}

import { projectIdOf } from '#access';
import type { Filter } from '#filter';
import { Config } from '#platform';
import {
  fingerprintOf,
  linkHeader,
  pageRequest,
  pageText,
  type Count,
  type HttpContext,
  type PageQuery,
  type PageRequest,
  type Slice,
} from '#http';
import { Injectable } from '@nestjs/common';
import { ObjectListStore } from '#objects';
import type { ObjectRow } from '#store';
import { ObservationStore } from './observation.store.js';
import { Pause } from './pause.js';

/** A list as a feed shows it: objects that are read as something. */
export interface FeedList<T> {
  /** A name, and what else makes another list of it: a cursor fits no other. */
  is: readonly [name: string, ...rest: unknown[]];
  /** Only what is about it, the latest first; left out: whatever matches, the newest first. */
  subject?: string;
  /** Of what is about it only what has a measure: a number under the key `temperature`. */
  isMeasured?: true;
  filter: Filter;
  /** Reads an object; undefined for one that is none of the feed's, which is passed over. */
  read: (row: ObjectRow) => T | undefined;
  /** Throws where who asks may not see it, before anything is read. */
  allow?: () => Promise<void>;
  /**
   * To be read as one: the oldest first, on a page as many as there may be (fewer of large ones), and not counted. Not of one
   * about a subject.
   */
  isWhole?: true;
}

/** Before the first that was stored. */
const FIRST = { kind: 'after', seq: '0', oldestFirst: true } as const;

/** A page of such a list. */
export class FeedPage<T> {
  constructor(
    readonly items: readonly T[],
    private readonly page: PageRequest,
    private readonly slice: Slice<ObjectRow>,
    private readonly count: () => Promise<Count>,
    private readonly reply: HttpContext['reply'],
  ) {}

  /** Nothing was found; of what was, `items` may have none. */
  get isEmpty(): boolean {
    return this.slice.items.length === 0;
  }

  /** The body of a page, of results as JSON text. */
  async text(textOf: (item: T) => string): Promise<string> {
    this.reply.type('application/json; charset=utf-8').itemCount = this.items.length;
    return pageText(this.page, this.slice, await this.count(), this.items.map(textOf));
  }

  /** The results alone, for a body that is nothing else; the header Link leads to the pages beside it. */
  linked(): readonly T[] {
    const link = linkHeader(this.page, this.slice);
    this.reply.itemCount = this.items.length;
    if (link !== undefined) this.reply.header('Link', link);
    return this.items;
  }
}

/** Reads lists of what came through the feeds. */
@Injectable()
export class FeedReader {
  constructor(
    private readonly observations: ObservationStore,
    private readonly objects: ObjectListStore,
    private readonly config: Config,
  ) {}

  /** @throws Problem invalid-query; invalid-cursor */
  async page<T>(list: FeedList<T>, query: PageQuery, { request, reply }: HttpContext): Promise<FeedPage<T>> {
    const projectId = projectIdOf(request);
    const { is, subject, filter, isWhole } = list;
    const { limits } = this.config;
    const [name, ...rest] = is;
    const whole = {
      page_size: query.page_size ?? limits.pageSizeMax,
      cursor: query.cursor,
      count: 'none',
    } as PageQuery;
    const page = pageRequest(isWhole ? whole : query, limits, fingerprintOf(name, projectId, ...rest), request);
    const isFirst = isWhole && query.cursor === undefined;
    if (isFirst) page.position = FIRST;
    await list.allow?.();

    const found =
      subject === undefined
        ? await this.objects.page(projectId, filter, page, isWhole)
        : { slice: await this.observations.page(projectId, { ...list, subject }, page), count: undefined };
    const slice = { ...found.slice, hasPrevious: found.slice.hasPrevious && !isFirst };
    const count = async (): Promise<Count> =>
      found.count ?? (await this.observations.count(projectId, { ...list, subject: subject ?? '' }, page.count));
    return new FeedPage(await readAll(slice.items, list), page, slice, count, reply);
  }

  /** Whether there is anything at all in a list about a subject. */
  async hasAny<T>({ subject = '', ...list }: FeedList<T>, { request }: HttpContext): Promise<boolean> {
    const { count } = await this.observations.count(projectIdOf(request), { subject, ...list }, 'capped');
    return count !== 0;
  }
}

/** A factory may have thousands of points, and take milliseconds. */
async function readAll<T>(rows: readonly ObjectRow[], { read }: FeedList<T>): Promise<T[]> {
  const items: T[] = [];
  const pause = new Pause();
  for (const row of rows) {
    if (pause.isDue) await pause.take();
    const item = read(row);
    if (item !== undefined) items.push(item);
  }
  return items;
}

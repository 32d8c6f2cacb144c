import { Readable } from 'node:stream';
import { unauthenticated } from '#access';
import { EncryptedKeys } from '#encryption';
import type { EncryptedKeyList, Filter } from '#filter';
import {
  API,
  ApiProblems,
  ApiResult,
  fingerprintOf,
  Http,
  type HttpContext,
  pageSizeOf,
  preferredType,
  ProjectId,
  Rules,
  StreamedBody,
} from '#http';
import { filterOf, viewOf } from '#objects';
import { Config } from '#platform';
import { Controller, Get, Query } from '@nestjs/common';
import { ApiExtension, ApiHeader, ApiOperation, ApiTags } from '@nestjs/swagger';
import { decodeChangeCursor, type ChangePlace } from './change-cursor.js';
import { ChangeEvents } from './change-events.js';
import { ChangeFeed, type FollowedChanges } from './change-feed.js';
import type { ChangePage } from './change-page.js';
import { ChangeReaders } from './change-readers.js';
import { ChangesDto, ChangesQuery } from './change.dto.js';

const JSON_TYPE = 'application/json';
const EVENTS_TYPE = 'text/event-stream';
/** About how many characters a page has, beyond its first change. The memory of a large response is reserved when it is sent. */
const PAGE_LENGTH = 1024 * 1024;
/** Changes and characters of one chunk of a stream of events. Each slow reader has one in memory. */
const EVENTS_MAX = 1_000;
const EVENTS_LENGTH = 64 * 1024;

@ApiTags('objects')
@Controller(`${API}/objects/changes`)
export class ChangeController {
  constructor(
    private readonly feed: ChangeFeed,
    private readonly readers: ChangeReaders,
    private readonly encryption: EncryptedKeys,
    private readonly config: Config,
  ) {}

  @Get()
  @Rules({ roles: ['admin', 'analyst'], query: true, produces: [JSON_TYPE, EVENTS_TYPE] })
  @ApiOperation({
    summary: 'List what was created, changed and deleted, in the order of the commits',
    description:
      'At least once, without gaps. With `wait` the response waits for a change; with `Accept: text/event-stream` changes are sent as Server-Sent Events.',
  })
  @ApiHeader({
    name: 'Last-Event-ID',
    required: false,
    description: 'Of Server-Sent Events: the id of the last event; it replaces `since`.',
  })
  @ApiResult(200, ChangesDto, { otherTypes: [EVENTS_TYPE] })
  @ApiExtension('x-no-etag', true)
  @ApiProblems('invalid-query', 'invalid-cursor', 'changes-expired', 'uri-too-long')
  async listChanges(
    @ProjectId() projectId: number,
    @Query() query: ChangesQuery,
    @Http() http: HttpContext,
  ): Promise<string | Readable> {
    const { request, reply } = http;
    const parseFilter = (encrypted: EncryptedKeyList): Filter => filterOf(query, encrypted);
    const filter = parseFilter(this.encryption.unsearchableKeysOf(projectId));
    const viewKey = JSON.stringify([query.fields, query.data_as]);
    const fingerprint = fingerprintOf('changes', projectId, filter);
    const size = pageSizeOf(query, this.config.limits, 'query');
    const followed = {
      projectId,
      filter,
      requireSearchable: parseFilter,
      view: viewOf(query),
      viewKey,
      fingerprint,
      size,
      lengthMax: PAGE_LENGTH,
    };
    // Readers have slots of their own, and wait without one.
    request.releaseSlot();
    reply.header('Cache-Control', 'no-store');
    if (preferredType(request, [JSON_TYPE, EVENTS_TYPE]) === EVENTS_TYPE) {
      const place = placeOf(http, query, fingerprint);
      return this.events({ ...followed, size: EVENTS_MAX, lengthMax: EVENTS_LENGTH }, place, http);
    }
    const place =
      query.since === undefined ? null : decodeChangeCursor(query.since, fingerprint, { parameter: 'since' });
    const page = place === null ? await this.feed.end(followed) : await this.changes(followed, place, query, http);
    reply.header('Content-Type', `${JSON_TYPE}; charset=utf-8`);
    reply.itemCount = page.items.length;
    return page.toJson();
  }

  /** Waits for a change, if the client does. */
  private async changes(
    followed: FollowedChanges,
    place: ChangePlace,
    { wait = 0 }: ChangesQuery,
    http: HttpContext,
  ): Promise<ChangePage> {
    if (wait === 0 || http.request.method === 'HEAD') return this.feed.read(followed, place);
    const reader = this.readers.open(http);
    const deadline = performance.now() + wait * 1_000;
    for (;;) {
      reader.beginReading();
      const page = await this.feed.read(followed, place);
      if (page.items.length > 0 || page.hasMore) return page;
      place = page.next;
      // A change during the last read is read by the next request.
      do {
        if (performance.now() >= deadline || reader.hasEnded) return page;
      } while (!(await reader.wait(deadline - performance.now())));
      // It may have been revoked since the request arrived.
      if (!(await http.request.isKeyValid())) throw unauthenticated();
    }
  }

  private async events(followed: FollowedChanges, place: ChangePlace | null, http: HttpContext): Promise<Readable> {
    const { request, reply } = http;
    const reader = this.readers.open(http);
    const page = place === null ? await this.feed.end(followed) : await this.feed.read(followed, place);
    reply.header('Content-Type', `${EVENTS_TYPE}; charset=utf-8`);
    // Asks nginx not to collect the response.
    reply.header('X-Accel-Buffering', 'no');
    if (request.method === 'HEAD') return Readable.from([]);
    return new StreamedBody(new ChangeEvents(this.feed, followed, reader, () => request.isKeyValid(), page));
  }
}

/** A browser sends the id of the last event when it connects again to the same URL. */
function placeOf({ request }: HttpContext, { since }: ChangesQuery, fingerprint: string): ChangePlace | null {
  const lastEventId = request.headers['last-event-id'];
  if (typeof lastEventId === 'string' && lastEventId !== '')
    return decodeChangeCursor(lastEventId, fingerprint, { header: 'Last-Event-ID' });
  return since === undefined ? null : decodeChangeCursor(since, fingerprint, { parameter: 'since' });
}

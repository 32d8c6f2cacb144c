import { Problem, type BodySource } from '#http';
import type { ChangePlace } from './change-cursor.js';
import type { ChangeFeed, FollowedChanges } from './change-feed.js';
import type { ChangePage } from './change-page.js';
import type { ChangeReader } from './change-readers.js';

/** How soon a client that lost its connection connects again. */
const FIRST_LINE = 'retry: 1000\n\n';
/** Shorter than the time after which proxies close idle connections. */
const HEARTBEAT_MS = 15_000;
/** A revoked key stops working within 5 seconds. */
const CHECK_KEY_MS = 4_000;

/** Changes as Server-Sent Events, for as long as the client stays, its key works, and the server runs. */
export class ChangeEvents implements BodySource {
  private place: ChangePlace;
  private mayHaveChanges = true;
  private sentAtMs = -Infinity;
  private keyCheckedAtMs = performance.now();

  /** @param page the first one, whose errors are a problem instead of a stream */
  constructor(
    private readonly feed: ChangeFeed,
    private readonly followed: FollowedChanges,
    private readonly reader: ChangeReader,
    private readonly isKeyValid: () => Promise<boolean>,
    private page: ChangePage,
  ) {
    this.place = page.next;
  }

  async next(): Promise<string | Buffer | null> {
    if (this.sentAtMs === -Infinity)
      return this.sent(FIRST_LINE + this.page.toEvents().toString() + this.page.toPosition());
    for (;;) {
      if (this.reader.hasEnded || !(await this.isAllowed())) return null;
      if (this.mayHaveChanges) {
        const page = await this.read();
        if (page === null) return null;
        this.page = page;
        this.place = page.next;
        this.mayHaveChanges = page.hasMore;
        if (page.items.length > 0) return this.sent(page.toEvents());
      }
      const heartbeatInMs = this.sentAtMs + HEARTBEAT_MS - performance.now();
      // Where a filter matches nothing, the place of the client moves too.
      if (heartbeatInMs <= 0) return this.sent(`: no changes\n${this.page.toPosition()}`);
      if (!this.mayHaveChanges) this.mayHaveChanges = await this.reader.wait(Math.min(heartbeatInMs, CHECK_KEY_MS));
    }
  }

  close(): Promise<void> {
    this.reader.end();
    return Promise.resolve();
  }

  /** Null where the client must connect again, and then gets the problem. */
  private async read(): Promise<ChangePage | null> {
    this.reader.beginReading();
    try {
      return await this.feed.read(this.followed, this.place);
    } catch (error) {
      if (error instanceof Problem) return null;
      throw error;
    }
  }

  private async isAllowed(): Promise<boolean> {
    const now = performance.now();
    if (now - this.keyCheckedAtMs < CHECK_KEY_MS) return true;
    this.keyCheckedAtMs = now;
    return this.isKeyValid();
  }

  private sent<Chunk extends string | Buffer>(chunk: Chunk): Chunk {
    this.sentAtMs = performance.now();
    return chunk;
  }
}

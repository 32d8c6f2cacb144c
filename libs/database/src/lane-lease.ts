import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoggerService } from '@nestjs/common';
import { StartupError } from '#platform';
import type { Database } from './database.js';
import { ticksOf, type Sequence } from './sequence.js';

/** How long a lane stays with a process that was killed. Longer than a restart of the database takes. */
const LEASE_MS = 60_000;
const RENEW_MS = 5_000;
/** The pause after a renewal that failed. */
const RETRY_MS = 1_000;
/** A renewal without a response is given up after this time, since its connection may be dead. */
const RENEW_TIMEOUT_MS = 5_000;
/** This process considers its lease over so much earlier than the database does: their clocks may differ in speed. */
const MARGIN_MS = 1_000;
const RELEASE_TIMEOUT_MS = 2_000;

/**
 * Takes a lane that is free or whose lease has expired, the least recently used first; a lane that is ahead of the clock only
 * when all are. `last_tick` is raised to the end of the new range in the statement that hands the range out, so no two ranges
 * of a lane overlap, whatever the clocks of its holders show.
 */
const ACQUIRE = {
  text: `
    WITH free AS MATERIALIZED (
      SELECT lane, last_tick FROM sequence_lanes WHERE leased_until <= clock_timestamp()
      ORDER BY last_tick > $2::bigint, leased_until, lane LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE sequence_lanes AS l SET
      holder = $1,
      leased_until = clock_timestamp() + ${String(LEASE_MS)} * interval '1 millisecond',
      last_tick = greatest(free.last_tick, $2::bigint) + ${String(ticksOf(LEASE_MS))}
    FROM free WHERE l.lane = free.lane
    RETURNING l.lane, free.last_tick AS after, l.last_tick AS until`,
  query_timeout: RENEW_TIMEOUT_MS,
};

/** Extends the lease and the range. A lease that has expired is extended too, as long as no one else has taken the lane. */
const RENEW = {
  text: `
    UPDATE sequence_lanes SET
      leased_until = clock_timestamp() + ${String(LEASE_MS)} * interval '1 millisecond',
      last_tick = greatest(last_tick, $3::bigint + ${String(ticksOf(LEASE_MS))})
    WHERE lane = $1 AND holder = $2
    RETURNING last_tick AS until`,
  query_timeout: RENEW_TIMEOUT_MS,
};

const RELEASE = {
  text: `
    UPDATE sequence_lanes SET holder = NULL, leased_until = clock_timestamp(), last_tick = $3
    WHERE lane = $1 AND holder = $2`,
  query_timeout: RELEASE_TIMEOUT_MS,
};

/**
 * The lease of a lane, the worker id in the sequence numbers of this process. No other process generates the same numbers. Two
 * mechanisms keep numbers from repeating. The lease gives a lane to one living process at a time: it expires by the database's
 * clock, and the holder stops generating numbers earlier, by its own monotonic clock. And each holder uses only ticks that a
 * statement has reserved for it in the lane's row, so a lane that is leased again continues after its former holder, also when
 * that holder ran ahead of the clock or was killed, or when the clock was set back in between.
 */
export class LaneLease {
  private readonly holder = randomUUID();
  private readonly closing = new AbortController();
  private renewing: Promise<void> | undefined;
  private lane: number | undefined;

  private constructor(
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly logger: LoggerService,
  ) {}

  /**
   * Leases a lane for the sequence and renews the lease until `close`.
   * @throws StartupError when every lane is leased, or the lease fails
   */
  static async open(database: Database, sequence: Sequence, logger: LoggerService): Promise<LaneLease> {
    const lease = new LaneLease(database, sequence, logger);
    const isLeased = await database
      .retrying(() => lease.acquire())
      .catch((cause: unknown) => {
        throw new StartupError(`cannot lease a lane of sequence numbers: ${(cause as Error).message}`, { cause });
      });
    if (!isLeased) throw new StartupError('1,024 processes use this database, which is the maximum; stop some of them');
    lease.renewing = lease.keepRenewing();
    return lease;
  }

  /** Stops the sequence and releases the lane. Waits for a database that does not respond for 2 seconds at most. */
  async close(): Promise<void> {
    this.closing.abort();
    await Promise.race([this.release(), sleep(RELEASE_TIMEOUT_MS, undefined, { ref: false })]);
  }

  /** Renews the lease once; takes another lane where this one has a new holder. */
  async renew(): Promise<void> {
    const startedAtMs = this.sequence.monotonicNow();
    const values = [this.lane, this.holder, this.sequence.nextTick];
    const [row] = await this.database.reserved.query<{ until: string }>(RENEW, values);
    if (row !== undefined && this.lane !== undefined) {
      this.use({ lane: this.lane, after: this.sequence.lastTick, until: row.until }, startedAtMs);
      return;
    }
    this.sequence.use(undefined);
    this.logger.warn(
      `lane ${String(this.lane)} of the sequence numbers was leased by another process; taking another lane`,
    );
    if (!(await this.acquire())) throw new Error('every lane of sequence numbers is leased');
  }

  /** @returns false when every lane is leased */
  private async acquire(): Promise<boolean> {
    const startedAtMs = this.sequence.monotonicNow();
    const values = [this.holder, this.sequence.nextTick];
    const [row] = await this.database.reserved.query<{ lane: number; after: string; until: string }>(ACQUIRE, values);
    if (row === undefined) return false;
    this.lane = row.lane;
    this.use(row, startedAtMs);
    return true;
  }

  private use(
    { lane, after, until }: { lane: number; after: string | number; until: string },
    startedAtMs: number,
  ): void {
    const endsAtMs = startedAtMs + LEASE_MS - MARGIN_MS;
    this.sequence.use({ lane, afterTick: Number(after), untilTick: Number(until), endsAtMs });
  }

  private async keepRenewing(): Promise<void> {
    const { signal } = this.closing;
    let hasFailed = false;
    for (;;) {
      await sleep(hasFailed ? RETRY_MS : RENEW_MS, undefined, { ref: false, signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.renew();
        hasFailed = false;
      } catch (error) {
        if (!hasFailed) this.logger.warn(`the lease of sequence numbers is not renewed: ${(error as Error).message}`);
        hasFailed = true;
      }
    }
  }

  private async release(): Promise<void> {
    await this.renewing;
    this.sequence.use(undefined);
    const values = [this.lane, this.holder, this.sequence.lastTick];
    // A lane that is not released is free when its lease expires.
    await this.database.reserved.query(RELEASE, values).catch(() => undefined);
  }
}

import { createClient } from '@redis/client';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { STORE_TIMEOUT_MS, type CountStore, type PendingCount } from './count-store.js';
import type { CombinedCount } from './rate-limit.js';

const RECONNECT_MAX_MS = 2_000;

/** Options that the library requires. `RateLimit` has the maximum, and every call the length of the window. */
const LIMITER_OPTIONS = { points: Number.MAX_SAFE_INTEGER, duration: 60 };

function createRedisClient(url: string) {
  return createClient({
    url,
    // A command without a connection fails at once; the count is sent again later.
    disableOfflineQueue: true,
    // A connection on which nothing arrives is closed; the pings keep an idle one open.
    pingInterval: STORE_TIMEOUT_MS / 2,
    socket: {
      connectTimeout: STORE_TIMEOUT_MS,
      socketTimeout: STORE_TIMEOUT_MS,
      reconnectStrategy: (retries) => Math.min(100 * 2 ** retries, RECONNECT_MAX_MS),
    },
  });
}

/** Counts in Redis, where they expire by themselves. */
export class RedisCountStore implements CountStore {
  readonly name = 'Redis';
  /** Commands that are sent together share a round trip. */
  readonly countsMax = 100;
  private readonly client: ReturnType<typeof createRedisClient>;
  private readonly limiter: RateLimiterRedis;

  /** Connects in the background: a server starts while Redis is unavailable. */
  constructor(url: string) {
    this.client = createRedisClient(url);
    // `CountCombiner` logs that the store is unavailable; without a listener the event would end the process.
    this.client.on('error', () => undefined);
    this.client.connect().catch(() => undefined);
    this.limiter = new RateLimiterRedis({
      ...LIMITER_OPTIONS,
      storeClient: this.client,
      useRedisPackage: true,
      rejectIfRedisNotReady: true,
      keyPrefix: 'stowage:limit',
    });
  }

  async add(counts: readonly PendingCount[]): Promise<(CombinedCount | null)[]> {
    // Not `all`: the commands after one that fails are still in progress, and must not be sent again.
    const results = await Promise.allSettled(counts.map((count) => this.addOne(count)));
    const [first] = results;
    if (first?.status === 'rejected' && results.every(({ status }) => status === 'rejected')) throw first.reason;
    return results.map((result) => (result.status === 'fulfilled' ? result.value : null));
  }

  private async addOne({ limit, id, items, endsInMs }: PendingCount): Promise<CombinedCount> {
    // The library has whole seconds, and 0 for a window without an end.
    const customDuration = Math.max(1, Math.floor(endsInMs / 1_000));
    const { consumedPoints, msBeforeNext } = await this.limiter.penalty(`${limit}:${String(id)}`, items, {
      customDuration,
    });
    return { items: consumedPoints, endsInMs: Math.max(0, msBeforeNext) };
  }

  async deleteExpired(): Promise<void> {
    // Redis does.
  }

  close(): void {
    if (this.client.isOpen) this.client.destroy();
  }
}

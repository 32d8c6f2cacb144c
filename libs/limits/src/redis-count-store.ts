import { createClient } from '@redis/client';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { addItems, LIMITER_OPTIONS, STORE_TIMEOUT_MS, type CountStore } from './count-store.js';
import type { CounterId, LimitName, SharedCount } from './rate-limit.js';

const RECONNECT_MAX_MS = 2_000;

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
  readonly concurrency = 100;
  private readonly client: ReturnType<typeof createRedisClient>;
  private readonly limiter: RateLimiterRedis;

  /** Connects in the background: a server starts while Redis is unavailable. */
  constructor(url: string) {
    this.client = createRedisClient(url);
    // `CountSharing` logs that the store is unavailable; without a listener the event would end the process.
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

  add(limit: LimitName, id: CounterId, items: number, windowMs: number): Promise<SharedCount> {
    return addItems(this.limiter, `${limit}:${String(id)}`, items, windowMs);
  }

  async deleteExpired(): Promise<void> {
    // Redis does.
  }

  close(): void {
    if (this.client.isOpen) this.client.destroy();
  }
}

import type { Database } from '#database';
import { RateLimiterPostgres } from 'rate-limiter-flexible';
import { addItems, LIMITER_OPTIONS, STORE_TIMEOUT_MS, type CountStore } from './count-store.js';
import type { CounterId, LimitName, SharedCount } from './rate-limit.js';

const TABLE = 'rate_limit_counts';
/** A row is deleted this long after its window, because the clocks of servers differ. */
const KEEP_EXPIRED_MS = 60_000;
const DELETE_EXPIRED = `DELETE FROM ${TABLE} WHERE expire < $1`;

/** Counts in the table `rate_limit_counts`, on the reserved connections, so that requests that use all others delay nothing. */
export class PostgresCountStore implements CountStore {
  readonly name = 'PostgreSQL';
  /** Look-ups of keys use the same two connections. */
  readonly concurrency = 1;
  private readonly limiter: RateLimiterPostgres;

  constructor(private readonly database: Pick<Database, 'reserved'>) {
    const storeClient = {
      query: async ({ values, ...statement }: { name?: string; text: string; values: unknown[] }) => {
        const timed = { ...statement, query_timeout: STORE_TIMEOUT_MS };
        const rows = await database.reserved.query<Record<'points' | 'expire', string>>(timed, values);
        // A bigint arrives as text.
        return { rows: rows.map(({ points, expire }) => ({ points: Number(points), expire: Number(expire) })) };
      },
    };
    this.limiter = new RateLimiterPostgres({
      ...LIMITER_OPTIONS,
      storeClient,
      storeType: 'client',
      keyPrefix: '',
      tableName: TABLE,
      // By a migration.
      tableCreated: true,
      // Its timer would run after the database is closed.
      clearExpiredByTimeout: false,
    });
  }

  add(limit: LimitName, id: CounterId, items: number, windowMs: number): Promise<SharedCount> {
    return addItems(this.limiter, `${limit}:${String(id)}`, items, windowMs);
  }

  async deleteExpired(): Promise<void> {
    await this.database.reserved.query(DELETE_EXPIRED, [Date.now() - KEEP_EXPIRED_MS]);
  }

  close(): void {
    // The connections belong to the database.
  }
}

import type { Database } from '#database';
import { STORE_TIMEOUT_MS, type CountStore, type PendingCount } from './count-store.js';
import type { CombinedCount } from './rate-limit.js';
import type { RateLimitCountEntity } from './rate-limit-count.entity.js';

/** A row is kept this long after its window: the next window of a key that is in use changes it. */
const KEEP_EXPIRED_MS = 60_000;

/** By the clock of the database, because those of servers differ. */
const NOW_MS = '(extract(epoch FROM now()) * 1000)::bigint';

/**
 * One statement for all counts: 1,000 statements would occupy one of the two reserved connections, which look-ups of keys use,
 * for most of a second. In the order of the keys, so that the statements of two processes never deadlock.
 */
const ADD = {
  name: 'limits.add',
  query_timeout: STORE_TIMEOUT_MS,
  text: `
    INSERT INTO rate_limit_counts AS stored (key, points, expire)
    SELECT key, items, ${NOW_MS} + ends_in_ms
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS pending (key, items, ends_in_ms)
    ORDER BY key COLLATE "C"
    ON CONFLICT (key) DO UPDATE SET
      points = excluded.points + CASE WHEN stored.expire > ${NOW_MS} THEN stored.points ELSE 0 END,
      expire = CASE WHEN stored.expire > ${NOW_MS} THEN stored.expire ELSE excluded.expire END
    RETURNING key, points, expire - ${NOW_MS} AS ends_in_ms`,
};

/** Waits for no row that is being changed: otherwise it could deadlock with the statement above. */
const DELETE_EXPIRED = {
  name: 'limits.delete-expired',
  query_timeout: STORE_TIMEOUT_MS,
  text: `
    DELETE FROM rate_limit_counts WHERE key IN (
      SELECT key FROM rate_limit_counts WHERE expire < ${NOW_MS} - ${String(KEEP_EXPIRED_MS)} FOR UPDATE SKIP LOCKED
    )`,
};

interface Row extends Pick<RateLimitCountEntity, 'key' | 'points'> {
  ends_in_ms: string;
}

/** Counts in the table `rate_limit_counts`, on the reserved connections, so that requests that use all others delay nothing. */
export class PostgresCountStore implements CountStore {
  readonly name = 'PostgreSQL';
  readonly countsMax = 1_000;

  constructor(private readonly database: Pick<Database, 'reserved'>) {}

  async add(counts: readonly PendingCount[]): Promise<CombinedCount[]> {
    const keys = counts.map(keyOf);
    const items = counts.map((count) => count.items);
    const rests = counts.map(({ endsInMs }) => Math.ceil(endsInMs));
    const rows = await this.database.reserved.query<Row>(ADD, [keys, items, rests]);
    const byKey = new Map(rows.map((row) => [row.key, row]));
    return keys.map((key) => {
      const row = byKey.get(key);
      if (row === undefined) throw new Error(`the statement returned no row for ${key}`);
      return { items: Number(row.points), endsInMs: Number(row.ends_in_ms) };
    });
  }

  async deleteExpired(): Promise<void> {
    await this.database.reserved.query(DELETE_EXPIRED);
  }

  close(): void {
    // The connections belong to the database.
  }
}

function keyOf({ limit, id }: PendingCount): string {
  return `${limit}:${String(id)}`;
}

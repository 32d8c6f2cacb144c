import { LIST_APPLIES_AFTER_MS } from './encrypted-keys.js';

/**
 * Of `projects AS p`: from this time on every transaction seals what is listed. One that has begun before may have plain values that nobody
 * else sees yet, so that stored values are sealed when it has ended.
 */
export const LIST_APPLIES_AT = `p.encryption_changed_at + interval '${String(LIST_APPLIES_AFTER_MS)} milliseconds'`;

/** Whether a transaction of another connection, `pg_stat_activity AS a`, has begun before a time and still runs. */
export const beganBeforeSql = (time: string): string =>
  `a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.xact_start < ${time}`;

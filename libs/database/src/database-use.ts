import { StartupError } from '#platform';
import type { Queryable } from './queryable.js';

const HAS_LANES = `SELECT to_regclass('sequence_lanes') IS NOT NULL AS has_lanes`;

/** Every server and worker leases a lane of sequence numbers for as long as it runs. */
const LEASE = `
  SELECT ceil(extract(epoch FROM max(leased_until) - clock_timestamp()))::int AS seconds FROM sequence_lanes
  WHERE leased_until > clock_timestamp()`;

/** A process that starts meanwhile cannot lease a lane, and ends. */
const LOCK_LANES = `LOCK TABLE sequence_lanes IN ACCESS EXCLUSIVE MODE`;

/** The connections on which servers and workers listen. */
const USERS = `
  SELECT coalesce(host(client_addr), 'this machine') AS address,
    to_char(min(backend_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since
  FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'stowage listener'
  GROUP BY client_addr ORDER BY 2, 1 LIMIT 5`;

/** @throws StartupError where a server or a worker uses the database */
export async function requireUnused(on: Queryable): Promise<void> {
  if (!(await hasLanes(on))) return;
  const [lease] = await on.query<{ seconds: number | null }>(LEASE);
  if (lease?.seconds == null) return;
  const users = await on.query<{ address: string; since: string }>(USERS);
  const who = users.map(({ address, since }) => `from ${address} since ${since}`).join(', ');
  throw new StartupError(
    `a server or worker uses the database${who === '' ? '' : `, ${who}`}: stop it first. After a crash its lease ends in ${String(lease.seconds)} s`,
  );
}

/** Keeps servers and workers from using the database until the transaction ends. @throws StartupError where one uses it */
export async function lockUse(tx: Queryable): Promise<void> {
  if (!(await hasLanes(tx))) return;
  await tx.query(LOCK_LANES);
  await requireUnused(tx);
}

async function hasLanes(on: Queryable): Promise<boolean> {
  const [row] = await on.query<{ has_lanes: boolean }>(HAS_LANES);
  return row?.has_lanes === true;
}

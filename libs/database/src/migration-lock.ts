import { setTimeout as sleep } from 'node:timers/promises';
import { StartupError } from '#platform';
import type { Database } from './database.js';
import type { Queryable } from './queryable.js';

/** The key of the advisory lock under which one process at a time changes the schema, or creates the rows of an installation. */
const MIGRATION_LOCK = 7_364_502;
/** Without a parameter: the portal of a statement with parameters keeps its snapshot until the transaction ends. */
const TRY_LOCK = `SELECT pg_try_advisory_xact_lock(${String(MIGRATION_LOCK)}) AS locked`;
/** While other connections work. */
const DISABLE_IDLE_TIMEOUT = 'SET LOCAL idle_in_transaction_session_timeout = 0';
/** How often a process that waits for another one looks whether it has ended. */
const POLL_MS = 200;
/** How long a process waits before it says for whom, and before it says so again. */
const SAY_AFTER_MS = 3_000;
const SAY_AGAIN_MS = 30_000;

/** The view lists an advisory lock by the halves of its key. */
const HOLDER = `
  SELECT a.pid, a.application_name AS name, host(a.client_addr) AS address, a.xact_start AS since
  FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
  WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()
    AND l.classid = 0 AND l.objid = ${String(MIGRATION_LOCK)} AND l.objsubid = 1`;

interface Holder {
  pid: number;
  name: string | null;
  /** Null for a socket of this machine. */
  address: string | null;
  since: string | null;
}

export interface LockWait {
  /** Receives a line with the process that this one waits for. */
  say: (line: string) => void;
  /** Ends the wait. */
  signal?: AbortSignal | undefined;
}

/**
 * Runs work that one process at a time may do, after the process that does such work now. The work uses other connections.
 * @param work calls `requireLock` before each of its steps, which throws where the connection of the lock was lost: another process may
 *   do such work then. A lock that it takes on the second argument is held as long as this one
 */
export async function holdMigrationLock<T>(
  database: Database,
  { say, signal }: LockWait,
  work: (requireLock: () => Promise<void>, lock: Queryable) => Promise<T>,
): Promise<T> {
  let sayAtMs = performance.now() + SAY_AFTER_MS;
  for (;;) {
    signal?.throwIfAborted();
    const done = await database.transactionOnce(async (tx) => {
      // A process that waited in the statement would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for every snapshot.
      if (await tryLock(tx)) {
        await tx.query(DISABLE_IDLE_TIMEOUT);
        const requireLock = async (): Promise<void> => {
          await tx.query('SELECT');
        };
        return { result: await work(requireLock, tx) };
      }
      if (performance.now() > sayAtMs) {
        const [holder] = await tx.query<Holder>(HOLDER);
        if (holder !== undefined) say(holderLine(holder));
        sayAtMs = performance.now() + SAY_AGAIN_MS;
      }
      return null;
    });
    if (done !== null) return done.result;
    await sleep(POLL_MS, undefined, { signal });
  }
}

/**
 * Keeps other processes from running migrations, and so from starting, until the transaction ends.
 * @throws StartupError where another process runs them
 */
export async function lockMigrations(tx: Queryable): Promise<void> {
  if (!(await tryLock(tx))) {
    throw new StartupError('another process runs migrations in this database; try again later');
  }
}

async function tryLock(tx: Queryable): Promise<boolean> {
  const [row] = await tx.query<{ locked: boolean }>(TRY_LOCK);
  return row?.locked === true;
}

function holderLine({ pid, name, address, since }: Holder): string {
  const of = `"${name ?? ''}", process ${String(pid)} of PostgreSQL`;
  return `waiting for the process that changes the database: ${of}, from ${address ?? 'this machine'}, since ${since ?? 'now'}`;
}

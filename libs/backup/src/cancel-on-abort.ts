import type { Database, Queryable } from '#database';

/**
 * Cancels the statement that runs on a connection as soon as the signal is aborted: it may wait for a lock or create an index for long.
 * The caller calls `end` before it gives the connection back. @throws the reason of a signal that is aborted already
 */
export async function cancelOnAbort(
  database: Database,
  on: Queryable,
  signal: AbortSignal,
): Promise<{ end: () => void }> {
  const [row] = await on.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  signal.throwIfAborted();
  const cancel = (): void => {
    // Where the cancel fails, the work ends at its next look at the signal.
    void database.reserved.query('SELECT pg_cancel_backend($1)', [row?.pid]).catch(() => undefined);
  };
  signal.addEventListener('abort', cancel, { once: true });
  return {
    end: () => {
      signal.removeEventListener('abort', cancel);
    },
  };
}

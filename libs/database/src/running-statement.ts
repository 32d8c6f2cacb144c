import type { ClientBase, Pool } from 'pg';
import { closeSocket } from './database-pool.js';

const CANCEL_EVERY_MS = 1_000;
const CANCEL_ATTEMPTS = 5;

/**
 * Turns off `transaction_timeout`, which a database or role may have since PostgreSQL 17: a backup, an export or an upload takes as long as
 * it takes, and the statements of other transactions have a timeout.
 */
const BEGIN_SESSION = `
  SELECT pg_backend_pid() AS pid,
    CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL
      THEN set_config('transaction_timeout', '0', false) END AS transaction_timeout`;

/** The id of the backend itself: behind a pooler, the one that the connection was opened with is the pooler's. */
const backendPids = new WeakMap<object, number>();

/** To be called for each new connection. */
export async function beginSession(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ pid: number }>(BEGIN_SESSION);
  if (rows[0] !== undefined) backendPids.set(client, rows[0].pid);
}

/**
 * A statement that runs. A cancel is repeated each second until the statement ends: it may not have reached the database yet. When
 * the database does not react, the connection is closed.
 */
export class RunningStatement {
  private timer: NodeJS.Timeout | undefined;

  /** @param reserved runs the cancel */
  constructor(
    private readonly client: ClientBase,
    private readonly reserved: Pool,
  ) {}

  cancel(): void {
    let attempts = 0;
    const attempt = (): void => {
      if (attempts++ < CANCEL_ATTEMPTS) {
        this.reserved.query('SELECT pg_cancel_backend($1)', [backendPids.get(this.client)]).catch(() => undefined);
      } else {
        closeSocket(this.client);
      }
    };
    attempt();
    this.timer = setInterval(attempt, CANCEL_EVERY_MS);
  }

  /** To be called when the statement has ended. */
  end(): void {
    if (this.timer !== undefined) clearInterval(this.timer);
  }
}

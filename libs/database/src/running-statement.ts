import type { ClientBase, Pool } from 'pg';
import { closeSocket } from './database-pool.js';

const CANCEL_EVERY_MS = 1_000;
const CANCEL_ATTEMPTS = 5;

/** The id of the backend itself: behind a pooler, the one that the connection was opened with is the pooler's. */
const backendPids = new WeakMap<object, number>();

/** To be called for each new connection. */
export async function recordBackendPid(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
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

import type { Socket } from 'node:net';
import { Pool, type ClientBase, type PoolClient, type PoolConfig } from 'pg';
import { ProjectSlots } from '#platform';
import { DatabaseStalledError } from './stall-monitor.js';
import { WorkScope } from './work-scope.js';

type Done = (reason?: boolean | Error) => void;
type ConnectCallback = (error: Error | undefined, client: PoolClient | undefined, done: Done) => void;

/** Connections that requests and jobs leave to work without a project: LISTEN, the polls of job workers, housekeeping. */
const BACKGROUND_CONNECTIONS = 2;
const CANCEL_EVERY_MS = 1_000;
const CANCEL_ATTEMPTS = 5;
const WAITING_PER_PROJECT = 1_000;
const WAITING_TOTAL = 4_000;

/** The project holds its share of the connections, and none became free in time. */
export class ConnectionsBusyError extends Error {
  override name = 'ConnectionsBusyError';
}

/**
 * A pool whose connections are shared between projects: a request or job takes a connection when its project holds less than
 * half of them, and waits for its turn otherwise. TypeORM and graphile-worker connect through it as well.
 */
export class SharedPool extends Pool {
  private readonly slots: ProjectSlots;
  private reserved: Pool | undefined;
  private isStalled = (): boolean => false;

  constructor(options: PoolConfig) {
    super(options);
    const total = Math.max(2, (options.max ?? 0) - BACKGROUND_CONNECTIONS);
    this.slots = new ProjectSlots({
      total,
      perProject: Math.floor(total / 2),
      waitingPerProject: WAITING_PER_PROJECT,
      waitingTotal: WAITING_TOTAL,
    });
  }

  override connect(): Promise<PoolClient>;
  override connect(callback: ConnectCallback): void;
  override connect(callback?: ConnectCallback): Promise<PoolClient> | undefined {
    if (callback !== undefined) {
      this.lease(callback);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      this.lease((error, client) => {
        if (client === undefined) reject(error ?? new Error('the pool gave no connection'));
        else resolve(client);
      });
    });
  }

  /** @param reserved a pool that has a free connection when this one has none */
  cancelThrough(reserved: Pool): void {
    this.reserved = reserved;
  }

  /** Fails at once while the condition holds. */
  refuseWhile(isStalled: () => boolean): void {
    this.isStalled = isStalled;
  }

  private lease(callback: ConnectCallback): void {
    const scope = WorkScope.current();
    if (this.isStalled()) {
      callback(stalled(), undefined, () => undefined);
      return;
    }
    if (scope === undefined) {
      super.connect(callback);
      return;
    }
    if (scope.failure !== undefined) {
      callback(scope.failure, undefined, () => undefined);
      return;
    }
    // Work that holds a connection already must not wait for another: the one that it waits for may wait for it.
    if (scope.hasConnection) {
      this.connectIn(scope, callback, () => undefined);
      return;
    }
    const free = (): void => {
      this.slots.release(scope.projectId);
    };
    if (this.slots.tryTake(scope.projectId)) this.connectIn(scope, callback, free);
    else this.waitForSlot(scope, callback, free);
  }

  private waitForSlot(scope: WorkScope, callback: ConnectCallback, free: () => void): void {
    const fail = (error: Error): void => {
      callback(error, undefined, () => undefined);
    };
    let endWait = (): void => undefined;
    const leaveQueue = this.slots.wait(
      scope.projectId,
      () => {
        endWait();
        this.connectIn(scope, callback, free);
      },
      (refusal) => {
        endWait();
        fail(new ConnectionsBusyError(`no turn for a connection: ${refusal}`));
      },
      scope.waitMs,
    );
    if (leaveQueue === null) return;
    endWait = scope.wait((reason) => {
      endWait();
      leaveQueue();
      fail(reason);
    });
  }

  /** @param free is called when the connection is given back, or cannot be opened */
  private connectIn(scope: WorkScope, callback: ConnectCallback, free: () => void): void {
    // It may have waited for its turn.
    if (this.isStalled()) {
      free();
      callback(stalled(), undefined, () => undefined);
      return;
    }
    super.connect((error, client, done) => {
      if (client === undefined) {
        free();
        callback(error, undefined, done);
        return;
      }
      let cancelling: NodeJS.Timeout | undefined;
      const release: Done = (reason) => {
        clearInterval(cancelling);
        scope.giveBack(client);
        // A cancel that arrives late must not hit the next statement on this connection, so there is none.
        done(cancelling === undefined ? reason : true);
        free();
      };
      client.release = release;
      scope.hold(client, () => (cancelling ??= this.startCancelling(client)));
      callback(undefined, client, release);
    });
  }

  /**
   * Cancels the statement of a connection until it is given back: one may begin between two attempts. Closes the connection when
   * the database does not react.
   */
  private startCancelling(client: PoolClient): NodeJS.Timeout {
    const pid = backendPids.get(client);
    let attempts = 0;
    const attempt = (): void => {
      if (attempts++ < CANCEL_ATTEMPTS) {
        this.reserved?.query('SELECT pg_cancel_backend($1)', [pid]).catch(() => undefined);
      } else {
        closeSocket(client);
      }
    };
    attempt();
    return setInterval(attempt, CANCEL_EVERY_MS);
  }
}

/** Closes a connection without a word to the database, which may not respond. */
export function closeSocket(client: ClientBase): void {
  (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
}

function stalled(): DatabaseStalledError {
  return new DatabaseStalledError('the database does not respond');
}

/** The id of the backend itself: behind a pooler, the one that the connection was opened with is the pooler's. */
const backendPids = new WeakMap<object, number>();

/** To be called for each new connection. */
export async function recordBackendPid(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  if (rows[0] !== undefined) backendPids.set(client, rows[0].pid);
}

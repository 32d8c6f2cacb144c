import type { Socket } from 'node:net';
import { Pool, type ClientBase, type PoolClient } from 'pg';
import { recordConnectionError } from './sqlstates.js';
import { DatabaseStalledError } from './stall-monitor.js';

type ConnectCallback = (
  error: Error | undefined,
  client: PoolClient | undefined,
  done: (reason?: boolean | Error) => void,
) => void;

/**
 * A pool that can reject requests for connections at once while the database does not respond. It records the errors of
 * connecting: a connection may break while its password is checked. TypeORM and graphile-worker connect through it as well.
 */
export class DatabasePool extends Pool {
  private isStalled = (): boolean => false;

  rejectWhile(isStalled: () => boolean): void {
    this.isStalled = isStalled;
  }

  override connect(): Promise<PoolClient>;
  override connect(callback: ConnectCallback): void;
  override connect(callback?: ConnectCallback): Promise<PoolClient> | undefined {
    if (this.isStalled()) {
      const error = new DatabaseStalledError('the database does not respond');
      if (callback === undefined) return Promise.reject(error);
      callback(error, undefined, () => undefined);
      return undefined;
    }
    if (callback === undefined) {
      return super.connect().catch((error: unknown) => {
        recordConnectionError(error as Error);
        throw error;
      });
    }
    super.connect((error, client, done) => {
      if (error !== undefined) recordConnectionError(error);
      callback(error, client, done);
    });
    return undefined;
  }
}

/** Closes a connection without informing the database, which may not respond. */
export function closeSocket(client: ClientBase): void {
  socketOf(client).destroy();
}

/** Lets the process end while the connection is open. */
export function unrefSocket(client: ClientBase): void {
  socketOf(client).unref();
}

function socketOf(client: ClientBase): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}

import type { Pool, PoolClient } from 'pg';
import { CopyOut, copyOutSql } from './copy-out.js';
import type { Queryable } from './queryable.js';
import { run } from './run-statement.js';
import { RunningStatement } from './running-statement.js';
import type { StatementObserver } from './statement-observer.js';

/** Reads one state of the database, whatever is committed meanwhile. It holds a connection until it is closed. */
export interface Snapshot extends Queryable {
  /** Starts to copy the rows of a SELECT. Nothing else can run in the snapshot until the copy has ended. */
  copyOut(select: string, values: readonly unknown[]): CopyOut;

  /** Gives the connection back, and cancels a copy that has not ended. Calling it again does nothing. */
  close(): Promise<void>;
}

export interface SnapshotOptions {
  /** How long one statement may take, 0 for any time: the time of a copy includes that of its reader. Default: as for others. */
  statementTimeoutMs?: number;
}

/**
 * Starts a read-only transaction on a connection, which the snapshot gives back.
 * @param reserved runs the cancel of a copy
 */
export async function openSnapshot(
  client: PoolClient,
  reserved: Pool,
  observer: StatementObserver | null,
  statementTimeoutMs: number | undefined,
): Promise<Snapshot> {
  const timeout =
    statementTimeoutMs === undefined ? '' : `; SET LOCAL statement_timeout = ${String(statementTimeoutMs)}`;
  try {
    await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY${timeout}`);
  } catch (error) {
    client.release(true);
    throw error;
  }
  return snapshotOn(client, reserved, observer);
}

function snapshotOn(client: PoolClient, reserved: Pool, observer: StatementObserver | null): Snapshot {
  let isOpen = true;
  let copy: CopyOut | undefined;
  // Closed by a client that left, while its request continues: the connection may have another owner already.
  const requireOpen = (): void => {
    if (!isOpen) throw new Error('the snapshot is closed');
  };
  return {
    query: async (statement, values = []) => {
      requireOpen();
      return run(client, statement, values, observer);
    },
    copyOut: (select, values) => {
      requireOpen();
      return (copy = new CopyOut(client, copyOutSql(select, values)));
    },
    close: async () => {
      if (!isOpen) return;
      isOpen = false;
      if (copy?.hasEnded === false) {
        const running = new RunningStatement(client, reserved);
        running.cancel();
        await copy.discard();
        running.end();
        // A cancel that arrives late must not hit the next statement on this connection.
        client.release(true);
        return;
      }
      const isBroken = await client.query('COMMIT').then(
        () => false,
        () => true,
      );
      client.release(isBroken);
    },
  };
}

import type { PoolClient } from 'pg';
import { CopyIn } from './copy-in.js';
import type { Queryable } from './queryable.js';
import { run } from './run-statement.js';
import { isConnectionLoss } from './sqlstates.js';
import type { StatementObserver } from './statement-observer.js';

/** Runs SQL between BEGIN and COMMIT, on one connection. */
export interface Transaction extends Queryable {
  /** Starts a `COPY ... FROM STDIN`. End it before the work returns; it is aborted when the transaction rolls back. */
  copyIn(statement: string): CopyIn;

  /** Makes the transaction end with ROLLBACK instead of COMMIT when its work returns; the caller gets the result as usual. */
  setRollbackOnly(): void;
}

/** Runs work between BEGIN and COMMIT on a connection, and gives it back. */
export async function runTransaction<T>(
  client: PoolClient,
  work: (tx: Transaction) => Promise<T>,
  observer: StatementObserver | null,
): Promise<T> {
  let isBroken = false;
  const end = { isRollbackOnly: false };
  let copy: CopyIn | undefined;
  const rollback = async (): Promise<void> => {
    copy?.abort();
    isBroken = await client.query('ROLLBACK').then(
      () => false,
      () => true,
    );
  };
  try {
    await client.query('BEGIN');
    const result = await work({
      query: (statement, values = []) => run(client, statement, values, observer),
      copyIn: (statement) => (copy = new CopyIn(client, statement, observer?.beginCopy(statement))),
      setRollbackOnly: () => {
        end.isRollbackOnly = true;
      },
    });
    await (end.isRollbackOnly ? rollback() : commit(client, observer));
    return result;
  } catch (error) {
    await rollback();
    throw error;
  } finally {
    client.release(isBroken);
  }
}

/** The connection was lost during COMMIT: the transaction may or may not be committed, so it must not be retried blindly. */
export class OutcomeUnknownError extends Error {
  override name = 'OutcomeUnknownError';
}

/**
 * @throws OutcomeUnknownError when the connection breaks after COMMIT was sent
 * @throws Error when a statement of the transaction failed and the work ignored its error: PostgreSQL then rolls back
 *   without an error, and only the command tag shows it
 */
async function commit(client: PoolClient, observer: StatementObserver | null): Promise<void> {
  const observed = observer?.begin('COMMIT', []);
  observed?.sent();
  const command = await sendCommit(client).finally(() => observed?.end());
  if (command !== 'COMMIT')
    throw new Error('a transaction with a failed statement was rolled back instead of committed');
}

async function sendCommit(client: PoolClient): Promise<string> {
  try {
    return (await client.query('COMMIT')).command;
  } catch (cause) {
    // The connection broke before COMMIT was sent, which is a rollback.
    const wasSent = !(cause as Error).message.includes('is not queryable');
    if (!wasSent || !isConnectionLoss(cause)) throw cause;
    throw new OutcomeUnknownError('the connection was lost during COMMIT', { cause });
  }
}

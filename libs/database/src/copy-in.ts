import type { PoolClient } from 'pg';
import { from, type CopyStreamQuery } from 'pg-copy-streams';
import type { ObservedStatement } from './statement-observer.js';

/**
 * A `COPY ... FROM STDIN` in progress. Nothing else can run in its transaction until it has ended or was aborted. An error of
 * the database (a unique violation, a lost connection) is thrown by the next `write` or by `end`.
 */
export class CopyIn {
  private readonly stream: CopyStreamQuery;
  private failure: Error | undefined;
  private hasEnded = false;
  /** Rejects the promise of the call that waits for the stream now. */
  private reject: ((error: Error) => void) | undefined;

  constructor(
    client: PoolClient,
    statement: string,
    private readonly observed?: ObservedStatement,
  ) {
    this.stream = client.query(from(statement));
    // The stream reports an error of the database only by this event, and accepts more data after it.
    this.stream.once('error', (error: Error) => {
      this.failure = error;
      this.observed?.end(error);
      this.reject?.(error);
    });
  }

  /** Resolves when there is room for more rows, so that the producer is not faster than the database. */
  write(rows: string | Buffer): Promise<void> {
    return this.unlessFailed((done) => this.stream.write(rows, done));
  }

  /** Resolves when the database has stored every row. */
  async end(): Promise<void> {
    await this.unlessFailed((done) => this.stream.end(done));
    this.hasEnded = true;
    this.observed?.end();
  }

  /** How many rows the database has stored; known after `end`. */
  get rowCount(): number {
    return this.stream.rowCount;
  }

  /** Makes the database discard the rows; the transaction can then only be rolled back. No effect after the end. */
  abort(): void {
    if (this.failure !== undefined || this.hasEnded) return;
    this.observed?.end(new Error('aborted'));
    this.stream.destroy();
  }

  private unlessFailed(work: (done: () => void) => unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.failure !== undefined) {
        reject(this.failure);
        return;
      }
      this.reject = reject;
      work(resolve);
    });
  }
}

import type { PoolClient } from 'pg';
import { from, type CopyStreamQuery } from 'pg-copy-streams';

/**
 * A `COPY ... FROM STDIN` under way. Nothing else can run on its transaction until it has ended or was given up.
 * An error of the database (a unique violation, a lost connection) comes out of the next `write` or of `end`.
 */
export class CopyIn {
  private readonly stream: CopyStreamQuery;
  private failure: Error | undefined;
  /** Tells whoever waits for the stream now that it has failed. */
  private reject: ((error: Error) => void) | undefined;

  constructor(client: PoolClient, statement: string) {
    this.stream = client.query(from(statement));
    // It tells an error of the database by this event alone, and takes more as if nothing were.
    this.stream.once('error', (error: Error) => {
      this.failure = error;
      this.reject?.(error);
    });
  }

  /** Resolves when there is room for more, so that whoever produces rows is as slow as the database. */
  write(rows: string): Promise<void> {
    return this.unlessFailed((done) => this.stream.write(rows, done));
  }

  /** Resolves when the database has taken every row. */
  end(): Promise<void> {
    return this.unlessFailed((done) => this.stream.end(done));
  }

  /** Tells the database to forget the rows; the transaction can only be rolled back then. */
  giveUp(): void {
    if (this.failure === undefined) this.stream.destroy();
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

import type { PoolClient } from 'pg';
import { from, type CopyStreamQuery } from 'pg-copy-streams';

/**
 * A `COPY ... FROM STDIN` under way. Nothing else can run on its transaction until it has ended or was given up.
 * An error of the database (a unique violation, a lost connection) comes out of the next `write` or of `end`.
 */
export class CopyIn {
  private readonly stream: CopyStreamQuery;
  private hasFailed = false;
  /** Never resolves. The stream tells an error of the database by this event alone, and takes more as if nothing were. */
  private readonly failure: Promise<never>;

  constructor(client: PoolClient, statement: string) {
    this.stream = client.query(from(statement));
    this.failure = new Promise((_, reject) => {
      this.stream.once('error', (error) => {
        this.hasFailed = true;
        reject(error);
      });
    });
    // It may fail between two writes, when nobody listens; the next one tells.
    this.failure.catch(() => undefined);
  }

  /** Resolves when there is room for more, so that whoever produces rows is as slow as the database. */
  async write(rows: string): Promise<void> {
    if (this.hasFailed) return this.failure;
    const taken = new Promise<void>((resolve) => {
      this.stream.write(rows, () => {
        resolve();
      });
    });
    return Promise.race([taken, this.failure]);
  }

  /** Resolves when the database has taken every row. */
  async end(): Promise<void> {
    if (this.hasFailed) return this.failure;
    const ended = new Promise<void>((resolve) => {
      this.stream.end(() => {
        resolve();
      });
    });
    return Promise.race([ended, this.failure]);
  }

  /** Tells the database to forget the rows; the transaction can only be rolled back then. */
  giveUp(): void {
    if (this.hasFailed) return;
    this.stream.destroy();
  }
}

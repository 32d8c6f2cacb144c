import { escapeLiteral, type PoolClient } from 'pg';
import { to, type CopyToStreamQuery } from 'pg-copy-streams';

/**
 * A `COPY (SELECT ...) TO STDOUT` in progress, read as fast as its reader asks. It reads rows 2.5 times as fast as a cursor, because
 * no row becomes an object of the driver, and in the memory of one row, whatever the size of the rows: 450,000 objects/s and
 * 180,000 with FETCH 2000 (200,000 objects of 230 bytes).
 */
export class CopyOut {
  private readonly stream: CopyToStreamQuery;
  private failure: Error | undefined;
  private isRead = false;
  /** The number of rows follows the last of them, and may arrive after it was read. */
  private isComplete = false;
  private isDiscarding = false;
  /** Continue the calls that wait for a chunk or for the end. */
  private waiting: (() => void)[] = [];

  constructor(client: PoolClient, statement: string) {
    this.stream = client.query(
      Object.assign(to(statement), {
        handleReadyForQuery: () => {
          this.isComplete = true;
          this.wake();
        },
      }),
    );
    this.stream.on('readable', () => {
      if (this.isDiscarding) this.readAll();
      this.wake();
    });
    this.stream.once('end', () => {
      this.isRead = true;
      this.wake();
    });
    this.stream.once('error', (error: Error) => {
      this.failure = error;
      this.wake();
    });
  }

  private get isAtEnd(): boolean {
    return this.isRead && this.isComplete;
  }

  /** Whether the database has sent everything, or an error. */
  get hasEnded(): boolean {
    return this.isAtEnd || this.failure !== undefined;
  }

  /** How many rows the database has sent; known at the end. */
  get rowCount(): number {
    return this.stream.rowCount;
  }

  /** The next bytes in COPY's text format, which may end within a row; null at the end. @throws the error of the database */
  async next(): Promise<Buffer | null> {
    for (;;) {
      if (this.failure !== undefined) throw this.failure;
      const chunk = this.isDiscarding ? null : (this.stream.read() as Buffer | null);
      if (chunk !== null) return chunk;
      if (this.isAtEnd) return null;
      await this.change();
    }
  }

  /** Reads the rest without keeping it, and resolves at the end: a backend that waits for its reader does not see a cancel. */
  async discard(): Promise<void> {
    this.isDiscarding = true;
    this.readAll();
    while (!this.hasEnded) await this.change();
  }

  private readAll(): void {
    while (this.stream.read() !== null);
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private wake(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** COPY has no parameters, so the values of `$1`, `$2`, … are inserted as literals, which have no type, like parameters. */
export function copyOutSql(select: string, values: readonly unknown[]): string {
  const text = select.replace(/\$(\d+)/g, (_, number: string) => literal(values[Number(number) - 1]));
  return `COPY (${text}) TO STDOUT`;
}

/** @throws Error for a value whose literal is not the same as its parameter */
function literal(value: unknown): string {
  if (value === null) return 'NULL';
  const isSafe = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
  // The protocol ends a statement at U+0000; no filter contains it.
  if (!isSafe || String(value).includes('\0')) throw new Error('COPY cannot have this value');
  return escapeLiteral(String(value));
}

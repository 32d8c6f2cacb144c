import type { TraceSpan } from '#telemetry';
import { QueryScope, QueryTimeoutError, type Database, type Queryable, type Statement } from '#database';

/** The queries that count a page. */
interface CountQueries {
  scope: QueryScope;
  timeoutMs: number;
  /** By `performance.now()`. */
  deadline: number;
}

/**
 * The queries of a request that only reads: those of its count have a deadline of their own, and all have that of the request. The owner
 * calls `cancelLate` regularly: one timer for all requests costs less than a timer for each.
 */
export class ReadQueries implements Queryable {
  private readonly scope: QueryScope;
  private readonly queries: Queryable;
  private readonly deadline: number;
  private count: CountQueries | null = null;

  /**
   * @param timeoutMs the time that all queries may take, from now
   * @param span of the request, whose parts they are
   */
  constructor(
    private readonly database: Pick<Database, 'within'>,
    private readonly timeoutMs: number,
    span: TraceSpan | null = null,
  ) {
    this.scope = new QueryScope(span);
    this.queries = database.within(this.scope);
    this.deadline = performance.now() + timeoutMs;
  }

  query<Row extends object>(statement: Statement | string, values?: readonly unknown[]): Promise<Row[]> {
    return this.queries.query<Row>(statement, values);
  }

  /** Returns the queries of a count, which are cancelled alone when they take longer than `timeoutMs` from the first one. */
  forCount(timeoutMs: number): Queryable {
    const scope = this.scope.child();
    const queries = this.database.within(scope);
    return {
      query: (statement, values) => {
        this.count ??= { scope, timeoutMs, deadline: performance.now() + timeoutMs };
        return queries.query(statement, values);
      },
    };
  }

  /** Cancels all queries, and rejects later ones. */
  cancel(reason: Error): void {
    this.scope.cancel(reason);
  }

  /** Cancels the queries whose deadline has passed. @returns whether that is all of them */
  cancelLate(now: number): boolean {
    if (this.count !== null && this.count.deadline <= now) {
      this.count.scope.cancel(new QueryTimeoutError(this.count.timeoutMs));
      this.count = null;
    }
    if (this.deadline > now) return false;
    this.cancel(new QueryTimeoutError(this.timeoutMs));
    return true;
  }
}

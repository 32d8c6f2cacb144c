import type { TraceSpan } from '#telemetry';

/** The queries of a request took longer than they may; they were cancelled. */
export class QueryTimeoutError extends Error {
  override name = 'QueryTimeoutError';

  constructor(readonly timeoutMs: number) {
    super(`the queries of the request took longer than ${String(timeoutMs)} ms`);
  }
}

/** The client has closed its connection, so its queries were cancelled. */
export class ClientGoneError extends Error {
  override name = 'ClientGoneError';
}

interface Cancellable {
  cancel: (reason: Error) => void;
}

/** The queries of one request, which can be cancelled together; see `Database.within`. */
export class QueryScope {
  /** The statements that run now, mostly one, and the child scopes. */
  private readonly running: Cancellable[] = [];
  private reason: Error | undefined;

  /** @param span of the request, whose parts the queries are */
  constructor(readonly span: TraceSpan | null = null) {}

  /** Why the queries were cancelled; later ones fail with it. */
  get failure(): Error | undefined {
    return this.reason;
  }

  /** Returns a scope that can be cancelled alone, and is cancelled with this one. */
  child(): QueryScope {
    const child = new QueryScope(this.span);
    if (this.reason === undefined) this.running.push(child);
    else child.cancel(this.reason);
    return child;
  }

  begin(statement: Cancellable): void {
    this.running.push(statement);
  }

  end(statement: Cancellable): void {
    const index = this.running.indexOf(statement);
    if (index !== -1) this.running.splice(index, 1);
  }

  /** Cancels the statements that run, and rejects later ones. */
  cancel(reason: Error): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    for (const each of this.running) each.cancel(reason);
  }
}

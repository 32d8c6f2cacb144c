import { AsyncLocalStorage } from 'node:async_hooks';

/** As long as a statement waits for a lock: the connections of a project may all wait for one. */
const WAIT_MS = 10_000;

interface ScopeOptions {
  /** How long this work waits for a connection; default 10 s. */
  waitMs?: number;
  /** How long the statements of this work may take together, from its first connection; default without limit. */
  timeoutMs?: number;
}

/** The statements of a request took longer than it may; they were cancelled. */
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

const storage = new AsyncLocalStorage<WorkScope>();

/**
 * A request or a job, as the pool of connections needs to know it. Statements find it by their asynchronous context, so that no
 * query can bypass the shares of projects, its deadline, or the end of its client. Work without a scope, such as housekeeping,
 * waits for no share.
 */
export class WorkScope {
  readonly waitMs: number;
  private readonly timeoutMs: number | undefined;
  /** Connections that this work holds now, each with the function that cancels its statement. */
  private readonly held = new Map<object, () => void>();
  /** What waits for a connection now. */
  private readonly waiting = new Set<(error: Error) => void>();
  private reason: Error | undefined;
  private deadline: NodeJS.Timeout | undefined;
  private state: 'new' | 'started' | 'over' = 'new';

  /** @param projectId the project whose share the connections count against; any other number for work without a project */
  constructor(
    readonly projectId: number,
    { waitMs = WAIT_MS, timeoutMs }: ScopeOptions = {},
  ) {
    this.waitMs = waitMs;
    this.timeoutMs = timeoutMs;
  }

  /** The scope of the calling code; undefined outside of one, and after its end. */
  static current(): WorkScope | undefined {
    const scope = storage.getStore();
    return scope?.state === 'over' ? undefined : scope;
  }

  /** Runs work that does not belong to the request or job that starts it, such as the worker of a job that a request accepts. */
  static outside<T>(work: () => T): T {
    return storage.exit(work);
  }

  /** Why the statements of this work were cancelled; its next ones fail with it. */
  get failure(): Error | undefined {
    return this.reason;
  }

  get hasConnection(): boolean {
    return this.held.size > 0;
  }

  /** Whether it has ever had a connection. */
  get hasStarted(): boolean {
    return this.state !== 'new';
  }

  /** Runs work in this scope, and everything asynchronous that it starts. */
  run<T>(work: () => T): T {
    return storage.run(this, work);
  }

  /** Records a connection. @param cancel cancels the statement that runs on it */
  hold(connection: object, cancel: () => void): void {
    if (this.state === 'new') {
      this.state = 'started';
      this.startDeadline();
    }
    this.held.set(connection, cancel);
  }

  giveBack(connection: object): void {
    this.held.delete(connection);
  }

  /** Records work that waits for a connection. @returns a function that ends the wait */
  wait(refuse: (error: Error) => void): () => void {
    this.waiting.add(refuse);
    return () => this.waiting.delete(refuse);
  }

  /** Cancels the statements that run, and refuses those that wait or come later. */
  cancel(reason: Error): void {
    if (this.reason !== undefined || this.state === 'over') return;
    this.reason = reason;
    this.endDeadline();
    for (const refuse of [...this.waiting]) refuse(reason);
    for (const cancel of this.held.values()) cancel();
  }

  /** The result is complete; what is still read, such as the rest of a streamed response, has limits of its own. */
  endDeadline(): void {
    clearTimeout(this.deadline);
  }

  /** Ends the scope: what it has started and still runs is work without a scope from now on. */
  end(): void {
    this.endDeadline();
    this.state = 'over';
  }

  private startDeadline(): void {
    const { timeoutMs } = this;
    if (timeoutMs === undefined) return;
    this.deadline = setTimeout(() => {
      this.cancel(new QueryTimeoutError(timeoutMs));
    }, timeoutMs);
  }
}

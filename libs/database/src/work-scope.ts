import { AsyncLocalStorage } from 'node:async_hooks';

/** As long as a statement waits for a lock: the connections of a project may all wait for one. */
const WAIT_MS = 10_000;

interface ScopeOptions {
  /** How long this work waits for a connection; default 10 s. */
  waitMs?: number;
}

const storage = new AsyncLocalStorage<WorkScope>();

/**
 * A request or a job, as the pool of connections needs to know it. Statements find it by their asynchronous context, so that no
 * query can bypass the shares of projects. Work without a scope, such as housekeeping, waits for no share.
 */
export class WorkScope {
  /** Connections that this work holds now. */
  held = 0;
  readonly waitMs: number;
  private isOver = false;

  /** @param projectId the project whose share the connections count against; any other number for work without a project */
  constructor(
    readonly projectId: number,
    { waitMs = WAIT_MS }: ScopeOptions = {},
  ) {
    this.waitMs = waitMs;
  }

  /** The scope of the calling code; undefined outside of one, and after its end. */
  static current(): WorkScope | undefined {
    const scope = storage.getStore();
    return scope?.isOver === true ? undefined : scope;
  }

  /** Runs work that does not belong to the request or job that starts it, such as the worker of a job that a request accepts. */
  static outside<T>(work: () => T): T {
    return storage.exit(work);
  }

  /** Runs work in this scope, and everything asynchronous that it starts. */
  run<T>(work: () => T): T {
    return storage.run(this, work);
  }

  /** Ends the scope: what it has started and still runs is work without a scope from now on. */
  end(): void {
    this.isOver = true;
  }
}

import { Pool, type PoolClient, type PoolConfig } from 'pg';
import { ProjectSlots } from '#platform';
import { WorkScope } from './work-scope.js';

type Done = (reason?: boolean | Error) => void;
type ConnectCallback = (error: Error | undefined, client: PoolClient | undefined, done: Done) => void;

/** Connections that requests and jobs leave to work without a project: LISTEN, the polls of job workers, housekeeping. */
const BACKGROUND_CONNECTIONS = 2;
const WAITING_PER_PROJECT = 1_000;
const WAITING_TOTAL = 4_000;

/** The project holds its share of the connections, and none became free in time. */
export class ConnectionsBusyError extends Error {
  override name = 'ConnectionsBusyError';
}

/**
 * A pool whose connections are shared between projects: a request or job takes a connection when its project holds less than
 * half of them, and waits for its turn otherwise. TypeORM and graphile-worker connect through it as well.
 */
export class SharedPool extends Pool {
  private readonly slots: ProjectSlots;

  constructor(options: PoolConfig) {
    super(options);
    const total = Math.max(2, (options.max ?? 0) - BACKGROUND_CONNECTIONS);
    this.slots = new ProjectSlots({
      total,
      perProject: Math.floor(total / 2),
      waitingPerProject: WAITING_PER_PROJECT,
      waitingTotal: WAITING_TOTAL,
    });
  }

  override connect(): Promise<PoolClient>;
  override connect(callback: ConnectCallback): void;
  override connect(callback?: ConnectCallback): Promise<PoolClient> | undefined {
    if (callback !== undefined) {
      this.lease(callback);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      this.lease((error, client) => {
        if (client === undefined) reject(error ?? new Error('the pool gave no connection'));
        else resolve(client);
      });
    });
  }

  private lease(callback: ConnectCallback): void {
    const scope = WorkScope.current();
    // Work that holds a connection already must not wait for another: the one that it waits for may wait for it.
    if (scope === undefined || scope.held > 0) {
      super.connect(callback);
      return;
    }
    if (this.slots.tryTake(scope.projectId)) {
      this.connectIn(scope, callback);
      return;
    }
    this.slots.wait(
      scope.projectId,
      () => {
        this.connectIn(scope, callback);
      },
      (refusal) => {
        callback(new ConnectionsBusyError(`no turn for a connection: ${refusal}`), undefined, () => undefined);
      },
      scope.waitMs,
    );
  }

  /** Connects in a slot, which is freed with the connection. */
  private connectIn(scope: WorkScope, callback: ConnectCallback): void {
    scope.held++;
    const free = (): void => {
      scope.held--;
      this.slots.release(scope.projectId);
    };
    super.connect((error, client, done) => {
      if (client === undefined) {
        free();
        callback(error, undefined, done);
        return;
      }
      const release: Done = (reason) => {
        done(reason);
        free();
      };
      client.release = release;
      callback(undefined, client, release);
    });
  }
}

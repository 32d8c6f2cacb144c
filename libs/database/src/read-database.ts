import type { Database } from './database.js';
import type { Queryable } from './queryable.js';
import type { QueryScope } from './query-scope.js';
import { Replica, type ReplicaOptions, type ReplicaState } from './replica.js';
import { isServerFailure } from './sqlstates.js';

/**
 * The server for reads that may be somewhat old: a replica while its data is new enough, else the primary. When the replica fails, the
 * work is done on the primary. Without a replica it is the primary.
 */
export class ReadDatabase {
  private constructor(
    private readonly primary: Database,
    private readonly replica: Replica | null,
  ) {}

  static ofPrimary(primary: Database): ReadDatabase {
    return new ReadDatabase(primary, null);
  }

  /** @throws StartupError when the server is not a standby of the primary */
  static async withReplica(primary: Database, options: ReplicaOptions): Promise<ReadDatabase> {
    return new ReadDatabase(primary, await Replica.open(primary, options));
  }

  /** Null without a replica. */
  get replicaState(): ReplicaState | null {
    return this.replica?.state ?? null;
  }

  /**
   * Runs statements, each on its own, that `scope` can cancel. They use the replica until it fails or is too old, then the primary and
   * never the replica again: a later statement may see a newer state, as on one server, and never an older one.
   */
  within(scope: QueryScope): Queryable {
    const { replica } = this;
    const onPrimary = this.primary.within(scope);
    if (replica === null) return onPrimary;
    let usesPrimary = false;
    return {
      query: async (statement, values) => {
        const server = usesPrimary ? null : replica.current;
        if (server !== null) {
          try {
            return await server.within(scope).query(statement, values);
          } catch (error) {
            if (!isServerFailure(error)) throw error;
          }
        }
        usesPrimary = true;
        return onPrimary.query(statement, values);
      },
    };
  }

  /** Runs work that needs one server for all of its statements, such as a snapshot. It is run again on the primary where the replica fails. */
  async run<T>(work: (server: Database) => Promise<T>): Promise<T> {
    const server = this.replica?.current ?? this.primary;
    try {
      return await work(server);
    } catch (error) {
      if (server === this.primary || !isServerFailure(error)) throw error;
      return work(this.primary);
    }
  }

  /** Closes the connections to the replica that are in use, whose statements then fail. */
  closeActiveConnections(): void {
    this.replica?.closeActiveConnections();
  }

  /** Closes the connections to the replica. */
  async close(): Promise<void> {
    await this.replica?.close();
  }
}

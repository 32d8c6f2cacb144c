import { mkdir, realpath, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, reason } from './error-code.js';
import {
  adopt,
  adoptOrStart,
  connectTo,
  IN_USE,
  type OpenServer,
  type PostgresAddress,
  type ServerConnection,
} from './open-server.js';
import { findPrograms } from './postgres-programs.js';
import { isAlive, stopPostmaster, withStartLock, type Postmaster } from './postmaster.js';
import { StartupError } from '#platform';
import { statOf } from './stat-of.js';

/**
 * A PostgreSQL server that Stowage starts itself. It keeps running when this process is killed, and the next start adopts it.
 * When the server is killed, it is started again at the same address.
 */
export interface EmbeddedPostgres {
  readonly address: PostgresAddress;
  /** Whether the server was running already, started by another process. */
  readonly adopted: boolean;
  /** Stops the server with a checkpoint, and resolves when the postmaster is gone. Idempotent. */
  stop(): Promise<void>;
  /** Stops the server unless another process is connected to it: an HTTP server and short commands share one. */
  stopIfUnused(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** The directory of the cluster's files; created when missing. */
  dataDir: string;
  /** Receives one line for each step that takes time: "creating the database in …", "starting PostgreSQL 18", …. */
  say: (line: string) => void;
  /** Additional server settings, such as { fsync: 'off' } for test clusters. */
  settings?: Record<string, string>;
  /** Whether this process starts the server, or only uses one that its parent process has started; default true. */
  startsServer?: boolean;
}

/** How long connections that were just closed may still be in the server's list. */
const CLOSING_MS = 500;
/** The pause before a lost server is opened again; it doubles with each failure, up to the maximum. */
const REOPEN_MS = 500;
const REOPEN_MS_MAX = 30_000;

/**
 * Starts PostgreSQL on a data directory, or adopts the server that runs on it. The first start creates the cluster. Of
 * several callers at the same time, one starts the server and the others adopt it. The processes of one server leave that to
 * their parent process: only Linux has the lock for it.
 * @throws StartupError with one line for the user
 */
export async function startEmbeddedPostgres({
  dataDir: givenDataDir,
  say,
  settings = {},
  startsServer = true,
}: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  if (process.platform === 'win32') {
    throw new StartupError('the embedded PostgreSQL runs on Linux and macOS only: set DATABASE_URL to one of your own');
  }
  const programs = await findPrograms();
  const dataDir = await realDataDir(givenDataDir);
  try {
    const open = (): Promise<OpenServer> =>
      startsServer
        ? withStartLock(dataDir, say, () => adoptOrStart(programs, dataDir, say, settings))
        : adopt(programs, dataDir, say);
    return new EmbeddedServer(await open(), open, dataDir, say);
  } catch (cause) {
    // A full disk or a read-only mount, for example. The message of the system contains the path.
    if (cause instanceof StartupError || typeof errorCode(cause) !== 'string') throw cause;
    throw new StartupError(`the database in ${dataDir} cannot be started: ${reason(cause)}`, { cause });
  }
}

class EmbeddedServer implements EmbeddedPostgres {
  readonly address: PostgresAddress;
  readonly adopted: boolean;
  #server: Postmaster;
  #connection: ServerConnection | undefined;
  #isClosing = false;
  #stopped: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reopening: Promise<void> | undefined;

  constructor(
    opened: OpenServer,
    private readonly open: () => Promise<OpenServer>,
    private readonly dataDir: string,
    private readonly say: (line: string) => void,
  ) {
    ({ address: this.address, adopted: this.adopted, server: this.#server } = opened);
    this.#watch(opened);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#shutDown();
    return this.#stopped;
  }

  async stopIfUnused(): Promise<void> {
    await this.#stopReopening();
    if (this.#stopped !== undefined || (await this.#isUnused())) return this.stop();
    await this.#disconnect();
  }

  /** Resolves when no attempt to open the server again is in progress or scheduled. */
  async #stopReopening(): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#timer);
    await this.#reopening;
  }

  async #disconnect(): Promise<void> {
    this.#connection?.socket.ref();
    await this.#connection?.client.end().catch(() => undefined);
    this.#connection = undefined;
  }

  async #shutDown(): Promise<void> {
    await this.#stopReopening();
    await this.#disconnect();
    await stopPostmaster(this.#server);
    // The directory of the socket, where it is not the data directory. It is not empty when another process uses it again.
    if (this.address.host !== this.dataDir) await rmdir(this.address.host).catch(() => undefined);
  }

  async #isUnused(): Promise<boolean> {
    const connection = this.#connection ?? (await connectTo(this.address, this.dataDir));
    // Without a connection, a server that runs has no connection left or is in recovery.
    if (connection === undefined) return !(await isAlive(this.#server));
    this.#connection = connection;
    connection.socket.ref(); // the process must not end during this check
    const giveUpAt = Date.now() + CLOSING_MS;
    for (let check = 1; ; check++) {
      // Of a superuser's connection, such as a backup, this role sees no more than these columns. Autovacuum has no user.
      const query = connection.client.query<{ others: number; processes: number }>(
        `SELECT count(*)::int AS others, count(*) FILTER (WHERE application_name = '${IN_USE}')::int AS processes
         FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND pid <> pg_backend_pid()`,
      );
      const [row] = (await query.catch(() => undefined))?.rows ?? [];
      if (row === undefined) {
        // The server was killed, or only this connection was closed.
        this.#connection = undefined;
        return !(await isAlive(this.#server));
      }
      if (row.others === 0) return true;
      // A process that runs has this connection at each check; one that is ending has closed it by the second.
      if ((row.processes > 0 && check > 1) || Date.now() > giveUpAt) return false;
      await sleep(50);
    }
  }

  #watch({ server, connection }: OpenServer): void {
    this.#server = server;
    this.#connection = connection;
    connection.socket.unref(); // does not keep the process alive
    connection.client.once('end', () => {
      this.#connection = undefined;
      if (!this.#isClosing) this.#reopenAfter(REOPEN_MS);
    });
  }

  /**
   * Opens the server again after a pause. PostgreSQL closes all connections when one of its processes crashes, and accepts
   * connections again after its recovery. A postmaster that has ended is started again, by this process or another one.
   */
  #reopenAfter(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#reopening = this.#reopen(ms);
    }, ms).unref();
  }

  async #reopen(waitedMs: number): Promise<void> {
    try {
      if (!(await isAlive(this.#server))) this.say('PostgreSQL has ended unexpectedly');
      this.#watch(await this.open());
    } catch (error) {
      const ms = Math.min(waitedMs * 2, REOPEN_MS_MAX);
      this.say(`${reason(error)}; trying again in ${String(ms / 1000)} s`);
      if (!this.#isClosing) this.#reopenAfter(ms);
    }
  }
}

/** The path without links, so that the lock, the socket and the files of a data directory have one name. */
async function realDataDir(given: string): Promise<string> {
  const path = resolve(given);
  try {
    await mkdir(dirname(path), { recursive: true });
    if ((await statOf(path)) !== undefined) return await realpath(path);
    return join(await realpath(dirname(path)), basename(path));
  } catch (cause) {
    const advice = 'choose another folder with STOWAGE_DATA_DIR';
    throw new StartupError(`${path} cannot contain a database (${reason(cause)}): ${advice}`, { cause });
  }
}

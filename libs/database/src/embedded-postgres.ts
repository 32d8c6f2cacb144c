import { mkdir, readFile, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import * as cluster from './postgres-cluster.js';
import {
  birthOf,
  codeOf,
  findServer,
  isAlive,
  killOrphans,
  stopPostmaster,
  withStartLock,
  type Postmaster,
} from './postmaster.js';
import { StartupError } from '#platform';

/** Where a client connects: `host` is the directory of a unix socket. */
export interface PostgresAddress {
  host: string;
  port: number;
  user: string;
  database: string;
}

/**
 * A PostgreSQL of our own. It lives on when this process is killed, and the next start takes it over. When it is killed
 * itself, it is started again, at the same address.
 */
export interface EmbeddedPostgres {
  readonly address: PostgresAddress;
  /** true when a server that an earlier process left behind was taken over. */
  readonly adopted: boolean;
  /** Fast, clean shutdown (checkpoint); resolves when the postmaster is gone. Idempotent. */
  stop(): Promise<void>;
  /** Stops the server unless somebody else (another client backend) is still connected to it: a server and short commands may share one. */
  stopIfUnused(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** The directory of the cluster's files; made when missing. */
  dataDir: string;
  /** Gets one line for each thing that takes time ("making the database in …", "starting PostgreSQL 18", "waiting for recovery …"). */
  say: (line: string) => void;
  /** Extra server settings, e.g. { fsync: 'off' } for throw-away test clusters. */
  settings?: Record<string, string>;
}

const USER = 'stowage';
const DATABASE = 'stowage';
const PORT = 5432;

/** Recovery replays up to `max_wal_size` of log, which takes 20 s and more on a small disk. */
const READY_WITHIN_MS = 5 * 60_000;
/** Where they cannot be killed: a backend of a killed server ends with its current statement, not before. */
const OLD_SERVER_GONE_WITHIN_MS = 60_000;
/** What is still there then waits for something that will never come. */
const ORPHANS_END_WITHIN_MS = 5_000;
const SAY_EVERY_MS = 5_000;
/** How long the connections that we have just closed may still show in the server's list. */
const CLOSING_MS = 500;
/** How soon a server that was lost is looked for again, and at the latest, the time doubling with each failure. */
const RETAKE_MS = 500;
const RETAKE_MS_MAX = 30_000;

/** fsync and synchronous_commit stay on: an answer 2xx promises that the data is on disk. */
const SETTINGS: Record<string, string> = {
  listen_addresses: '',
  port: String(PORT),
  unix_socket_permissions: '0700',
  max_connections: '100',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Compiling takes longer than our short statements run.
  jit: 'off',
  // For bulk loads: few checkpoints, spread out, and small full-page images after each.
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  checkpoint_completion_target: '0.9',
  wal_compression: 'on',
  random_page_cost: '1.1',
};

/**
 * Starts PostgreSQL on a data dir, made on the first start, or takes over the server that already runs on it.
 * Of several callers at once, one starts it and the others take it over.
 * @throws StartupError with one line for the user when it cannot run
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  if (process.platform === 'win32') {
    throw new StartupError('the embedded PostgreSQL runs on Linux and macOS only: set DATABASE_URL to one of your own');
  }
  const programs = await cluster.findPrograms();
  const dataDir = await realDataDir(options.dataDir);
  try {
    const open = (): Promise<Opened> =>
      withStartLock(dataDir, options.say, () => adoptOrStart(programs, dataDir, options));
    return new Handle(await open(), open, dataDir, options.say);
  } catch (cause) {
    // A full disk, a read-only mount: the system's own words name the path.
    if (cause instanceof StartupError || typeof codeOf(cause) !== 'string') throw cause;
    throw new StartupError(`the database in ${dataDir} cannot be started: ${cluster.reason(cause)}`, { cause });
  }
}

async function adoptOrStart(
  programs: cluster.PostgresPrograms,
  dataDir: string,
  { say, settings = {} }: EmbeddedPostgresOptions,
): Promise<Opened> {
  const exists = await cluster.isCluster(dataDir, programs.major);
  const runAs = async (): Promise<cluster.RunAs> =>
    cluster.chooseRunAs(
      programs,
      dataDir,
      (await cluster.isCluster(dataDir, programs.major)) ? await stat(dataDir) : undefined,
    );
  if (!exists) {
    say(`making the database in ${dataDir}`);
    await cluster.makeCluster(programs, await runAs(), dataDir, settings['fsync'] !== 'off');
  }

  let saidWaiting = false;
  const startedAt = Date.now();
  for (;;) {
    const running = await findServer(dataDir);
    if (running !== undefined) {
      const opened = await whenReady(running, dataDir, true, say);
      if (opened !== undefined) return opened;
      continue; // it ended meanwhile
    }

    if (!saidWaiting) say(`starting PostgreSQL ${programs.major}`);
    const started = await spawnServer(programs, await runAs(), dataDir, settings);
    const opened = started.server && (await whenReady(started.server, dataDir, false, say));
    if (opened !== undefined) return opened;

    const log = await started.log();
    const inTheWay = /lock file "[^"]*" already exists|pre-existing shared memory block|could not \w+ lock file/.test(
      log,
    );
    const waitedMs = Date.now() - startedAt;
    if (!inTheWay || waitedMs > OLD_SERVER_GONE_WITHIN_MS) {
      const line =
        /.*\b((?:FATAL|PANIC): .*)/s.exec(log)?.[1]?.split('\n')[0]?.replace(/\s+/, ' ') ?? cluster.lastLine(log);
      throw new StartupError(`PostgreSQL did not start: ${line} (its log: ${join(dataDir, 'postgres.log')})`);
    }
    if (!saidWaiting) say("waiting for the old server's processes to end");
    saidWaiting = true;
    if (waitedMs > ORPHANS_END_WITHIN_MS && (await killOrphans(dataDir)) > 0) say('killed those that hung');
    await sleep(250);
  }
}

async function spawnServer(
  programs: cluster.PostgresPrograms,
  runAs: cluster.RunAs,
  dataDir: string,
  settings: Record<string, string>,
): Promise<{ server: Postmaster | undefined; log: () => Promise<string> }> {
  await cluster.giveTo(runAs, dataDir);
  const host = await cluster.socketDir(runAs, dataDir);
  // No server runs here, so a socket's lock is stale, and like postmaster.pid (see findServer) it may name a zombie.
  await rm(join(host, `.s.PGSQL.${String(PORT)}.lock`), { force: true });
  const all = { ...SETTINGS, ...settings, unix_socket_directories: `"${host}"` };
  const args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);

  const path = join(dataDir, 'postgres.log');
  const { file, from } = await cluster.openLog(runAs, path);
  const child = cluster.launch(runAs, programs.postgres, ['-D', dataDir, ...args], ['ignore', file.fd, file.fd], true);
  let failure = '';
  child.on('error', (error) => (failure = error.message));
  child.unref();
  await file.close();

  // The pid stays the postmaster's own: `unshare` without --fork becomes the program that it starts.
  const birth = child.pid === undefined ? undefined : await birthOf(child.pid);
  const server = child.pid === undefined || birth === undefined ? undefined : { pid: child.pid, birth };
  return { server, log: async () => (await readFile(path)).subarray(from).toString() || failure };
}

/** Waits until the server takes clients; undefined when it ended before that. */
async function whenReady(
  server: Postmaster,
  dataDir: string,
  adopted: boolean,
  say: (line: string) => void,
): Promise<Opened | undefined> {
  const startedAt = Date.now();
  let sayAt = startedAt + SAY_EVERY_MS / 2;
  while (await isAlive(server)) {
    // Asked before connecting: every refused client would leave a line in the log.
    const found = await findServer(dataDir);
    const place = found?.pid === server.pid && found.state === 'ready' ? found.place : undefined;
    const seat = place && (await takeSeat(place));
    if (place !== undefined && seat !== undefined) {
      return { address: { ...place, user: USER, database: DATABASE }, adopted, server, seat };
    }
    const waitedMs = Date.now() - startedAt;
    if (waitedMs > READY_WITHIN_MS) {
      const log = join(dataDir, 'postgres.log');
      throw new StartupError(
        `PostgreSQL takes no clients after 5 minutes; it goes on trying, see ${log}, start again later`,
      );
    }
    if (Date.now() > sayAt) {
      const what = found?.state === 'stopping' ? 'the last shutdown to finish' : 'recovery of the database';
      say(`waiting for ${what} (${String(Math.round(waitedMs / 1000))} s)`);
      sayAt += SAY_EVERY_MS;
    }
    await sleep(waitedMs < 1_000 ? 10 : 100);
  }
  return undefined;
}

/**
 * One idle connection held for as long as this process uses the server. Pools close idle connections, and
 * `stopIfUnused()` of a short command must still see that a quiet server process depends on the database.
 */
interface Seat {
  client: pg.Client;
  socket: Socket;
}

/** A server that takes clients, whoever started it, and our seat in it. */
interface Opened {
  address: PostgresAddress;
  adopted: boolean;
  server: Postmaster;
  seat: Seat;
}

class Handle implements EmbeddedPostgres {
  readonly address: PostgresAddress;
  readonly adopted: boolean;
  #server: Postmaster;
  #seat: Seat | undefined;
  #isLeaving = false;
  #stopped: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retaking: Promise<void> | undefined;

  constructor(
    opened: Opened,
    private readonly open: () => Promise<Opened>,
    private readonly dataDir: string,
    private readonly say: (line: string) => void,
  ) {
    ({ address: this.address, adopted: this.adopted, server: this.#server } = opened);
    this.#keep(opened);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#shutDown();
    return this.#stopped;
  }

  async stopIfUnused(): Promise<void> {
    await this.#settle();
    if (this.#stopped !== undefined || (await this.#isAlone())) return this.stop();
    await this.#leave();
  }

  /** A server that is being started again is there to be stopped when this resolves. */
  async #settle(): Promise<void> {
    this.#isLeaving = true;
    clearTimeout(this.#timer);
    await this.#retaking;
  }

  async #leave(): Promise<void> {
    this.#seat?.socket.ref();
    await this.#seat?.client.end().catch(() => undefined);
    this.#seat = undefined;
  }

  async #shutDown(): Promise<void> {
    await this.#settle();
    await this.#leave();
    await stopPostmaster(this.#server);
    // The socket's directory, where it had to be outside of the data dir. Not empty means taken into use again.
    if (this.address.host !== this.dataDir) await rmdir(this.address.host).catch(() => undefined);
  }

  async #isAlone(): Promise<boolean> {
    const seat = this.#seat ?? (await takeSeat(this.address));
    // No seat and no server is nothing to stop; no seat on a living one means that it is full or recovering.
    if (seat === undefined) return !(await isAlive(this.#server));
    this.#seat = seat;
    seat.socket.ref(); // or the process could end in the middle of this
    const giveUpAt = Date.now() + CLOSING_MS;
    for (;;) {
      const asked = seat.client.query<{ alone: boolean }>(
        `SELECT count(*) = 0 AS alone FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      );
      const answer = await asked.catch(() => undefined);
      if (answer === undefined) {
        // Killed just now, before we could hear of it; or only our connection was.
        this.#seat = undefined;
        return !(await isAlive(this.#server));
      }
      if (answer.rows[0]?.alone === true) return true;
      if (Date.now() > giveUpAt) return false;
      await sleep(50);
    }
  }

  #keep({ server, seat }: Opened): void {
    this.#server = server;
    this.#seat = seat;
    seat.socket.unref(); // does not keep the process alive
    seat.client.once('end', () => {
      this.#seat = undefined;
      if (!this.#isLeaving) this.#retakeAfter(RETAKE_MS);
    });
  }

  /**
   * PostgreSQL drops all clients when one of its processes crashes, and takes them again after its recovery. When it has
   * ended itself, this starts it again, unless another process that uses it was faster.
   */
  #retakeAfter(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#retaking = this.#retake(ms);
    }, ms).unref();
  }

  async #retake(waitedMs: number): Promise<void> {
    try {
      if (!(await isAlive(this.#server))) this.say('PostgreSQL has ended unasked');
      this.#keep(await this.open());
    } catch (error) {
      const ms = Math.min(waitedMs * 2, RETAKE_MS_MAX);
      this.say(`${cluster.reason(error)}; trying again in ${String(ms / 1000)} s`);
      if (!this.#isLeaving) this.#retakeAfter(ms);
    }
  }
}

/** Connects, and makes the database `stowage` when it is missing; undefined while the server takes no clients. */
async function takeSeat({ host, port }: { host: string; port: number }): Promise<Seat | undefined> {
  const socket = new Socket();
  const client = new pg.Client({
    host,
    port,
    user: USER,
    // Not the database of the data: nobody could drop or copy that while a seat is held in it.
    database: 'postgres',
    application_name: 'stowage seat',
    ssl: false,
    connectionTimeoutMillis: 5_000,
    stream: () => socket,
  });
  client.on('error', () => undefined); // 'end' follows and says it all
  try {
    await client.connect();
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
    return { client, socket };
  } catch (cause) {
    socket.destroy();
    const code = codeOf(cause);
    // No such user, or no such database: waiting would not help.
    if (code !== '28000' && code !== '3D000') return undefined;
    throw new StartupError(`the PostgreSQL in ${host} was not made by Stowage: ${cluster.reason(cause)}`, { cause });
  }
}

/** Without links, so that one data dir has one name: the lock's, the socket's, and that of the server's own files. */
async function realDataDir(given: string): Promise<string> {
  const path = resolve(given);
  try {
    await mkdir(dirname(path), { recursive: true });
    if ((await cluster.statOf(path)) !== undefined) return await realpath(path);
    return join(await realpath(dirname(path)), basename(path));
  } catch (cause) {
    const mend = 'choose another folder with STOWAGE_DATA_DIR';
    throw new StartupError(`no database can be kept in ${path} (${cluster.reason(cause)}): ${mend}`, { cause });
  }
}

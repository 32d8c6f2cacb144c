import { readFile, rm, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { errorCode, reason } from './error-code.js';
import { changeOwner, initCluster, isCluster, openLog, socketDir } from './postgres-cluster.js';
import { passwordFile, readPasswords, type Passwords } from './postgres-passwords.js';
import type { PostgresPrograms } from './postgres-programs.js';
import { findServer, isAlive, killOrphans, startTimeOf, stopPostmaster, type Postmaster } from './postmaster.js';
import { StartupError } from '#platform';
import { chooseRunAs, lastLine, spawnProgram, type RunAs } from './run-as.js';

/** Where a client connects: `host` is the directory of a unix socket. */
export interface PostgresAddress {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
}

/**
 * An idle connection that is open for as long as this process uses the server. Pools close idle connections, and
 * `stopIfUnused()` of a short command must see that an idle HTTP server depends on the database.
 */
export interface ServerConnection {
  client: pg.Client;
  socket: Socket;
}

/** A server that accepts connections, whichever process started it, and the connection of this process to it. */
export interface OpenServer {
  address: PostgresAddress;
  adopted: boolean;
  server: Postmaster;
  connection: ServerConnection;
}

/** The application name of a ServerConnection. */
export const IN_USE = 'stowage (in use)';
const PORT = 5432;

/** Recovery replays up to `max_wal_size` of log, which takes more than 20 s on a small disk. */
const READY_WITHIN_MS = 5 * 60_000;
/** Without killing them: a process of a killed server ends after its current statement. */
const OLD_SERVER_GONE_WITHIN_MS = 60_000;
/** Processes of a killed server that are left after this time are killed: they wait for a postmaster that was killed. */
const ORPHANS_END_WITHIN_MS = 5_000;
const SAY_EVERY_MS = 5_000;
/** fsync and synchronous_commit stay on: a response 2xx promises that the data is on disk. */
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
  // Of each process, for sorts that exceed work_mem: an export of 10,000,000 objects with lines of 316 bytes takes 3.1 GB.
  temp_file_limit: '4GB',
};

/** Adopts the server that runs on the data directory, or starts one; creates the cluster when there is none. */
export async function adoptOrStart(
  programs: PostgresPrograms,
  dataDir: string,
  say: (line: string) => void,
  settings: Record<string, string>,
): Promise<OpenServer> {
  const exists = await isCluster(dataDir, programs.major);
  const runAs = async (): Promise<RunAs> =>
    chooseRunAs(programs, dataDir, (await isCluster(dataDir, programs.major)) ? await stat(dataDir) : undefined);
  if (!exists) {
    say(`creating the database in ${dataDir}`);
    await initCluster(programs, await runAs(), dataDir, settings['fsync'] !== 'off');
  }
  const passwords = await readPasswords(dataDir);

  let hasSaidWaiting = false;
  const startedAt = Date.now();
  for (;;) {
    const running = await findServer(dataDir);
    if (running !== undefined) {
      const opened = await whenReady(running, dataDir, passwords, true, say);
      if (opened !== undefined) return opened;
      continue; // the server has ended in the meantime
    }

    if (!hasSaidWaiting) say(`starting PostgreSQL ${programs.major}`);
    const started = await spawnServer(programs, await runAs(), dataDir, settings);
    const opened = started.server && (await whenReady(started.server, dataDir, passwords, false, say));
    if (opened !== undefined) return opened;

    const log = await started.log();
    const isBlocked = /lock file "[^"]*" already exists|pre-existing shared memory block|could not \w+ lock file/.test(
      log,
    );
    const waitedMs = Date.now() - startedAt;
    if (!isBlocked || waitedMs > OLD_SERVER_GONE_WITHIN_MS) {
      throw new StartupError(`PostgreSQL did not start: ${errorOf(log)} (its log: ${join(dataDir, 'postgres.log')})`);
    }
    if (!hasSaidWaiting) say('waiting for the processes of the former server to end');
    hasSaidWaiting = true;
    if (waitedMs > ORPHANS_END_WITHIN_MS && (await killOrphans(dataDir)) > 0)
      say('killed the processes that did not end');
    await sleep(250);
  }
}

/** Adopts the server that another process has started. @throws StartupError where none runs */
export async function adopt(
  programs: PostgresPrograms,
  dataDir: string,
  say: (line: string) => void,
): Promise<OpenServer> {
  const running = (await isCluster(dataDir, programs.major)) ? await findServer(dataDir) : undefined;
  const opened = running && (await whenReady(running, dataDir, await readPasswords(dataDir), true, say));
  if (opened === undefined) throw new StartupError(`PostgreSQL does not run on ${dataDir}`);
  return opened;
}

/** The last fatal error in a log, or its last line. */
function errorOf(log: string): string {
  const fatal = /.*\b((?:FATAL|PANIC): .*)/s.exec(log)?.[1]?.split('\n')[0];
  return fatal?.replace(/\s+/, ' ') ?? lastLine(log);
}

async function spawnServer(
  programs: PostgresPrograms,
  runAs: RunAs,
  dataDir: string,
  settings: Record<string, string>,
): Promise<{ server: Postmaster | undefined; log: () => Promise<string> }> {
  await changeOwner(runAs, dataDir);
  const host = await socketDir(runAs, dataDir);
  // No server runs here, so the lock of its socket is stale. Like postmaster.pid (see findServer) it may name a zombie.
  await rm(join(host, `.s.PGSQL.${String(PORT)}.lock`), { force: true });
  const all = { ...SETTINGS, ...settings, unix_socket_directories: `"${host}"` };
  const args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);

  const path = join(dataDir, 'postgres.log');
  const { file, from } = await openLog(runAs, path);
  const child = spawnProgram(runAs, programs.postgres, ['-D', dataDir, ...args], ['ignore', file.fd, file.fd], true);
  let failure = '';
  child.on('error', (error) => (failure = error.message));
  child.unref();
  await file.close();

  // `unshare` without --fork becomes the program that it starts, so this is the pid of the postmaster.
  const startTime = child.pid === undefined ? undefined : await startTimeOf(child.pid);
  const server = child.pid === undefined || startTime === undefined ? undefined : { pid: child.pid, startTime };
  return { server, log: async () => (await readFile(path)).subarray(from).toString() || failure };
}

/** Waits until the server accepts connections; undefined when it ended before that. */
async function whenReady(
  server: Postmaster,
  dataDir: string,
  passwords: Passwords,
  adopted: boolean,
  say: (line: string) => void,
): Promise<OpenServer | undefined> {
  const startedAt = Date.now();
  let sayAt = startedAt + SAY_EVERY_MS / 2;
  while (await isAlive(server)) {
    // Checked before connecting, because each refused connection is a line in the log.
    const found = await findServer(dataDir);
    const listensAt = found?.pid === server.pid && found.state === 'ready' ? found.listensAt : undefined;
    if (listensAt !== undefined) {
      const address = { ...listensAt, user: 'stowage', password: passwords.stowage, database: 'stowage' };
      const connection = await connectTo(address, dataDir).catch(async (error: unknown) => {
        if (!adopted) await stopPostmaster(server);
        throw error;
      });
      if (connection !== undefined) return { address, adopted, server, connection };
    }
    const waitedMs = Date.now() - startedAt;
    if (waitedMs > READY_WITHIN_MS) {
      const log = join(dataDir, 'postgres.log');
      throw new StartupError(
        `PostgreSQL accepts no connections after 5 minutes; its recovery goes on, see ${log}; start again later`,
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
 * Connects as the application's role; undefined while the server accepts no connections.
 * @throws StartupError when the server rejects the password or does not know the role
 */
export async function connectTo(address: PostgresAddress, dataDir: string): Promise<ServerConnection | undefined> {
  const socket = new Socket();
  const client = new pg.Client({
    ...address,
    // Not the database of the data: that could not be dropped or copied while a connection to it is open.
    database: 'postgres',
    application_name: IN_USE,
    ssl: false,
    connectionTimeoutMillis: 5_000,
    stream: () => socket,
  });
  client.on('error', () => undefined); // the event 'end' follows
  try {
    await client.connect();
    return { client, socket };
  } catch (cause) {
    socket.destroy();
    // Waiting does not change these: a wrong password, no permission, no such database.
    const code = errorCode(cause);
    if (code === '28P01') {
      const path = passwordFile(dataDir);
      throw new StartupError(
        `the database in ${dataDir} rejects the password in ${path}: restore the file that was created with this database`,
        { cause },
      );
    }
    if (code !== '28000' && code !== '3D000') return undefined;
    throw new StartupError(`the PostgreSQL in ${dataDir} was not created by Stowage: ${reason(cause)}`, {
      cause,
    });
  }
}

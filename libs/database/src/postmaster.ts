import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { errorCode } from './error-code.js';
import { StartupError } from '#platform';

/** A running postmaster. The start time distinguishes it from a later process with the same pid. */
export interface Postmaster {
  pid: number;
  startTime: string;
}

/** The server of a data directory, as described by its `postmaster.pid`. */
export interface RunningServer extends Postmaster {
  /** The directory and port of its socket; undefined in its first milliseconds. */
  listensAt: { host: string; port: number } | undefined;
  state: 'starting' | 'ready' | 'stopping';
}

const POLL_MS = 20;
/** Longer than a start takes at most, recovery included. */
const LOCK_WITHIN_MS = 7 * 60_000;
/** A fast shutdown writes a checkpoint, which takes time. An immediate shutdown kills processes that hang after 5 s. */
const SHUTDOWN = [
  { signal: 'SIGINT', waitMs: 30_000 },
  { signal: 'SIGQUIT', waitMs: 15_000 },
] as const;

/**
 * The start time of a process, as the system writes it; undefined when there is no such process, or only a zombie. In a
 * container whose first process does not reap its children, a killed postmaster remains a zombie.
 */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => '');
    // The program's name is in brackets and may contain any character, so the fields are counted from the last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  }
  const line = await ps(pid, 'stat=', 'lstart=');
  return line === '' || line.startsWith('Z') ? undefined : line.replace(/^\S+\s+/, '');
}

export async function isAlive(postmaster: Postmaster): Promise<boolean> {
  return (await startTimeOf(postmaster.pid)) === postmaster.startTime;
}

/**
 * Finds the server that runs on this data directory, whichever process started it. Removes a `postmaster.pid` that would
 * keep PostgreSQL from starting for ever: its pid is that of a zombie or of an unrelated process, or the file is empty. A
 * file whose pid is free remains: PostgreSQL also checks the shared memory that it names.
 * @param dataDir the real path, without links
 */
export async function findServer(dataDir: string): Promise<RunningServer | undefined> {
  const path = join(dataDir, 'postmaster.pid');
  let text = await readIfExists(path);
  if (text === '') {
    // Created and not yet written, or truncated by a power loss.
    await sleep(200);
    text = await readIfExists(path);
    if (text === '') await rm(path, { force: true });
  }
  if (!text) return undefined;
  const [pidLine = '', , , port = '', host = '', , , status = ''] = text.split('\n');
  const pid = Math.abs(Number.parseInt(pidLine, 10));
  if (!(pid > 0)) return undefined;

  const startTime = await startTimeOf(pid);
  if (startTime !== undefined && (await isPostmasterOf(pid, dataDir))) {
    const word = status.trim();
    const state = word === 'ready' || word === 'stopping' ? word : 'starting';
    return { pid, startTime, listensAt: host.startsWith('/') ? { host, port: Number(port) } : undefined, state };
  }
  const unchanged = (await readIfExists(path)) === text;
  if (unchanged && isInProcessTable(pid)) await rm(path, { force: true });
  return undefined;
}

/**
 * Stops a postmaster, whether it is a child of this process or not: by a fast shutdown, then by an immediate one. Resolves
 * when the process is gone.
 * @throws Error when it survives both
 */
export async function stopPostmaster(postmaster: Postmaster): Promise<void> {
  for (const { signal, waitMs } of SHUTDOWN) {
    if (!(await isAlive(postmaster))) return;
    try {
      process.kill(postmaster.pid, signal);
    } catch (error) {
      if (errorCode(error) !== 'ESRCH') throw error; // it has just ended
    }
    const deadline = Date.now() + waitMs;
    while (Date.now() < deadline) {
      if (!(await isAlive(postmaster))) return;
      await sleep(POLL_MS);
    }
  }
  throw new Error(`PostgreSQL (process ${String(postmaster.pid)}) does not stop`);
}

/**
 * Kills the processes that a killed postmaster left on this data directory. Call it when no server runs there and those
 * processes had time to end by themselves. A process that waits for a lock of another killed process would wait for ever, and
 * no server can start as long as it exists. Its statement has had no response, and recovery treats it as a crash.
 * @param dataDir the real path, without links
 * @returns how many were killed; always 0 on systems that do not show the directory of a process
 */
export async function killOrphans(dataDir: string): Promise<number> {
  if (process.platform !== 'linux') return 0;
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  let killed = 0;
  for (const pid of pids) {
    if (!(await isOrphan(pid, dataDir))) continue;
    try {
      process.kill(pid, 'SIGKILL');
      killed++;
    } catch (error) {
      if (errorCode(error) !== 'ESRCH') throw error; // it has just ended
    }
  }
  return killed;
}

/** A server process has the title `postgres: …`, unlike a postmaster or a `postgres --single` used for repairs. */
async function isOrphan(pid: number, dataDir: string): Promise<boolean> {
  const cwd = await readlink(`/proc/${String(pid)}/cwd`).catch(() => undefined);
  if (cwd !== dataDir) return false;
  const title = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '');
  return title.startsWith('postgres: ');
}

/**
 * Runs `work` under a lock, so that only one process at a time starts a server on a data directory. The lock is a name in
 * Linux' abstract socket namespace: unlike a file it disappears with its process. Other systems have PostgreSQL's own lock only,
 * which two starts at the same moment after a crash can break.
 */
export async function withStartLock<T>(
  dataDir: string,
  say: (line: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  if (process.platform !== 'linux') return work();
  const startedAt = Date.now();
  const name = `\0stowage-${pathHash(dataDir)}`;
  let lock = await listen(name);
  for (let said = false; lock === 'taken'; lock = await listen(name)) {
    const waitedMs = Date.now() - startedAt;
    if (waitedMs > 1_000 && !said) say('waiting for another process to start the database');
    said ||= waitedMs > 1_000;
    if (waitedMs > LOCK_WITHIN_MS) {
      throw new StartupError(`another process has been starting the database in ${dataDir} for minutes: stop it first`);
    }
    await sleep(20);
  }
  try {
    return await work();
  } finally {
    lock?.close();
  }
}

/** Opens the socket; undefined where the system has no abstract sockets, as in some sandboxes. */
async function listen(path: string): Promise<Server | 'taken' | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => {
      resolve(errorCode(error) === 'EADDRINUSE' ? 'taken' : undefined);
    });
    server.listen({ path, exclusive: true }, () => {
      resolve(server);
    });
  });
}

/** A short name for a path that is too long for a socket. */
export function pathHash(path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 16);
}

/** The working directory is reliable even after the data directory was renamed or copied; the command line less so. */
async function isPostmasterOf(pid: number, dataDir: string): Promise<boolean> {
  if (process.platform !== 'linux') return ` ${await ps(pid, 'command=')} `.includes(` -D ${dataDir} `);
  const args = (await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '')).split('\0');
  // Root in a container may have no access to the working directory of other users' processes.
  const cwd = await readlink(`/proc/${String(pid)}/cwd`).catch(() => undefined);
  if (cwd === undefined) return args[args.indexOf('-D') + 1] === dataDir;
  return cwd === dataDir && /(^|\/)postgres$/.test(args[0] ?? '');
}

async function readIfExists(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
}

async function ps(pid: number, ...columns: string[]): Promise<string> {
  const args = ['-ww', ...columns.flatMap((column) => ['-o', column]), '-p', String(pid)];
  return promisify(execFile)('ps', args).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );
}

function isInProcessTable(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    return errorCode(error) === 'EPERM';
  }
}

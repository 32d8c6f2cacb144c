import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StartupError } from '#platform';
import type { PostgresPrograms } from './postgres-programs.js';

/** The user that a program runs as: PostgreSQL refuses to run as root. */
export interface RunAs {
  /** The command that starts the program in a user namespace; empty for none. */
  prefix: readonly string[];
  /** The owner that the cluster's files need, as this process sees it. */
  uid: number;
  gid: number;
}

/** The owner of files. */
type Owner = Pick<Stats, 'uid' | 'gid'>;

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
export const UNSHARE = ['unshare', '--user', `--map-user=${String(NOBODY)}`, `--map-group=${String(NOBODY)}`];
/** The server does not inherit our environment: it may contain keys, and a PGDATA or LANG that would change the server. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };

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

/** Spawns a program of PostgreSQL. With `detached` it has a process group of its own, so that Ctrl-C does not reach it. */
export function spawnProgram(runAs: RunAs, program: string, args: string[], stdio: StdioOptions, detached = false) {
  const [command = program, ...rest] = [...runAs.prefix, program, ...args];
  const me = process.geteuid?.();
  const user = me === runAs.uid ? {} : { uid: runAs.uid, gid: runAs.gid };
  return spawn(command, rest, { stdio, detached, cwd: '/', env: ENVIRONMENT, ...user });
}

/** The first folder of the path that the user may not enter; undefined for none. Ignores access control lists. */
export async function findClosedFolder({ uid, gid }: RunAs, dir: string): Promise<string | undefined> {
  if (uid === 0) return undefined;
  const { mode, ...found } = await stat(dir);
  const enter = found.uid === uid ? 0o100 : found.gid === gid ? 0o010 : 0o001;
  const parent = dirname(dir);
  return (
    (parent === dir ? undefined : await findClosedFolder({ prefix: [], uid, gid }, parent)) ??
    (mode & enter ? undefined : dir)
  );
}

/** The reason why the server's program does not run as this user; undefined when it does run. */
async function probe(programs: PostgresPrograms, runAs: RunAs): Promise<string | undefined> {
  const { code, output } = await runProgram(runAs, programs.postgres, ['--version']);
  return code === 0 ? undefined : lastLine(output);
}

export async function runProgram(
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

/** The last line of the output of a program. */
export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

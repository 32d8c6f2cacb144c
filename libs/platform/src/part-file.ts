import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { lstat, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StartupError } from './startup-error.js';

const DAY_MS = 86_400_000;

/**
 * The name that a file has until it is whole, in the same folder. Create it exclusively ('wx'). It is random, because processes in
 * several containers have the same number.
 */
export function partPathOf(path: string): string {
  return `${path}.${randomUUID()}.part`;
}

/**
 * The path that a file is to be written to: that of the regular file behind symbolic links, or of one that does not exist yet. Look before
 * anything is written, because a rename would replace a device, a FIFO or a link instead of writing to it.
 * @throws StartupError where the path is anything else, or its folder does not exist
 */
export async function findOutputPath(path: string): Promise<string> {
  const target = await findStats(path, stat);
  if (target !== null) {
    checkIsFile(path, target);
    return realpath(path);
  }
  if ((await findStats(path, lstat)) !== null)
    throw new StartupError(`${path} is a symbolic link to a file that does not exist`);
  const folder = path.endsWith('/') ? path : dirname(path);
  if ((await findStats(folder, stat)) === null)
    throw new StartupError(`${path} cannot be written: the folder ${folder} does not exist`);
  return join(await realpath(folder), basename(path));
}

/**
 * Gives a whole file its name; an existing file is replaced. Resolves when the name is on the disk, too.
 * @param path of `findOutputPath`
 * @throws StartupError where another process has put something other than a regular file there meanwhile
 */
export async function publishPart(part: string, path: string): Promise<void> {
  const target = await findStats(path, lstat);
  if (target !== null) checkIsFile(path, target);
  await rename(part, path);
  await syncFolder(dirname(path));
}

/** null where nothing has this path */
async function findStats(path: string, read: (path: string) => Promise<Stats>): Promise<Stats | null> {
  try {
    return await read(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new StartupError(`${path} cannot be written: ${(cause as Error).message}`, { cause });
  }
}

function checkIsFile(path: string, stats: Stats): void {
  if (stats.isFile()) return;
  if (stats.isDirectory()) throw new StartupError(`${path} is a folder: give the path of a file in it`);
  const isDevice = stats.isCharacterDevice() || stats.isBlockDevice();
  const kind = isDevice ? 'a device' : stats.isFIFO() ? 'a FIFO' : stats.isSocket() ? 'a socket' : 'a symbolic link';
  throw new StartupError(`${path} is ${kind}, which a whole file would replace: give the path of a file`);
}

/** Removes what killed processes have left of a file: its parts that nothing has written to for a day, as far as it may. */
export async function removeOldParts(path: string): Promise<void> {
  const [folder, prefix] = [dirname(path), `${basename(path)}.`];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(prefix) || !/^[0-9a-f-]{36}\.part$/.test(name.slice(prefix.length))) continue;
    const part = join(folder, name);
    // Another process may have removed it.
    const writtenAtMs = await stat(part).then(
      ({ mtimeMs }) => mtimeMs,
      () => Infinity,
    );
    if (writtenAtMs < Date.now() - DAY_MS) await rm(part).catch(() => undefined);
  }
}

/** Resolves when the names of the files in a folder are on the disk. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

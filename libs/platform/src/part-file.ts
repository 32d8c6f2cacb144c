import { randomUUID } from 'node:crypto';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const DAY_MS = 86_400_000;

/**
 * The name that a file has until it is whole, in the same folder. Create it exclusively ('wx'). It is random, because processes in
 * several containers have the same number.
 */
export function partPathOf(path: string): string {
  return `${path}.${randomUUID()}.part`;
}

/** Gives a whole file its name; an existing file is replaced. Resolves when the name is on the disk, too. */
export async function publishPart(part: string, path: string): Promise<void> {
  await rename(part, path);
  await syncFolder(dirname(path));
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

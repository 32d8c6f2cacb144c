import { randomUUID } from 'node:crypto';
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

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

/** Resolves when the names of the files in a folder are on the disk. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

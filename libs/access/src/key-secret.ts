import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StartupError, type Config } from '#platform';

const FILE = 'key-secret';

/** The secret of the keyed hash. Without it no key can be verified. */
export class KeySecret {
  private constructor(
    readonly value: string,
    /** Created by this start, so that it matches no existing key. */
    readonly isNew: boolean,
  ) {}

  /** Reads it from the setting or from a file in the data directory, which the first start creates. @throws StartupError */
  static async load(config: Config): Promise<KeySecret> {
    if (config.access.keySecret !== null) return new KeySecret(config.access.keySecret, false);
    const path = join(config.database.dataDir, FILE);
    const isNew = await createOnce(path);
    const value = (await readFile(path, 'utf8')).trim();
    if (value.length < 32)
      throw new StartupError(
        `${path} holds no key secret of at least 32 characters; restore the file, or delete it and create all keys again`,
      );
    return new KeySecret(value, isNew);
  }
}

/**
 * Creates the file atomically, also when two processes start at once. Returns whether this call created it. The file is on
 * disk before any key is hashed with it: after a power failure the keys in the database would be invalid without it.
 */
async function createOnce(path: string): Promise<boolean> {
  const draft = `${path}.${String(process.pid)}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(draft, randomBytes(32).toString('hex') + '\n', { mode: 0o600, flush: true });
    await link(draft, path);
    await syncDirectory(dirname(path));
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new StartupError(`cannot store the key secret in ${path}: ${(cause as Error).message}`, { cause });
  } finally {
    await rm(draft, { force: true });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

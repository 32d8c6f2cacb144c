import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StartupError, type Config } from '#platform';

const FILE = 'key-secret';

/** The secret of the keyed hash: without it the stored hashes are worth nothing, and no key can be checked. */
export class KeySecret {
  private constructor(
    readonly value: string,
    /** Made by this start: no key that exists was made with it. */
    readonly isNew: boolean,
  ) {}

  /** From the setting, or kept in the data dir, where it is made on first start. */
  static async load(config: Config): Promise<KeySecret> {
    if (config.access.keySecret !== null) return new KeySecret(config.access.keySecret, false);
    const path = join(config.database.dataDir, FILE);
    const isNew = await makeOnce(path);
    const value = (await readFile(path, 'utf8')).trim();
    if (value.length < 32)
      throw new StartupError(`${path} holds no key secret; restore it, or every key must be made anew`);
    return new KeySecret(value, isNew);
  }
}

/** Whether this call made the file; whole or not at all, also when two processes start at once. */
async function makeOnce(path: string): Promise<boolean> {
  const draft = `${path}.${String(process.pid)}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(draft, randomBytes(32).toString('hex') + '\n', { mode: 0o600 });
    await link(draft, path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new StartupError(`cannot keep the key secret in ${path}: ${(cause as Error).message}`, { cause });
  } finally {
    await rm(draft, { force: true });
  }
}

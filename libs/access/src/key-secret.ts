import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Config, StartupError } from '#platform';

const FILE = 'key-secret';

/** The secret of the keyed hash: without it the stored hashes are worth nothing, and no key can be checked. */
export class KeySecret {
  private constructor(readonly value: string) {}

  /** From the setting, or kept in the data dir, where it is made on first start. */
  static async load(config: Config): Promise<KeySecret> {
    if (config.access.keySecret !== null) return new KeySecret(config.access.keySecret);
    const path = join(config.database.dataDir, FILE);
    try {
      await mkdir(config.database.dataDir, { recursive: true });
      // Two processes that start at once: the second finds the first one's file and takes that.
      await writeFile(path, randomBytes(32).toString('hex') + '\n', { flag: 'wx', mode: 0o600 });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new StartupError(`cannot keep the key secret in ${path}: ${(cause as Error).message}`, { cause });
      }
    }
    const value = (await readFile(path, 'utf8')).trim();
    if (value.length < 32)
      throw new StartupError(`${path} holds no key secret; restore it, or every key must be made anew`);
    return new KeySecret(value);
  }
}

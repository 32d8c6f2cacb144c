import { createHmac, randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { partPathOf, StartupError, syncFolder, type Config } from '#platform';

const FILE = 'key-secret';
const PREVIOUS_FILE = 'key-secret-previous';

/** The secret of the keyed hash. Without it no key can be verified. */
export class KeySecret {
  /** Identifies the secret in rows whose hash was computed with it, and does not reveal it. */
  readonly id: string;
  /** The current secret, then the previous ones: a key works if its hash was computed with one of them. */
  readonly accepted: readonly string[];

  private constructor(
    readonly value: string,
    /** Secrets of a rotation that is in progress. */
    readonly previous: readonly string[],
  ) {
    this.id = KeySecret.idOf(value);
    this.accepted = [value, ...previous];
  }

  /**
   * Reads the current and the previous secret from the settings or from files in the data directory, the first of which is
   * created by the first start.
   * @throws StartupError
   */
  static async load(config: Config): Promise<KeySecret> {
    const path = join(config.database.dataDir, FILE);
    if (config.access.keySecret === null) await createOnce(path);
    const secret = await KeySecret.find(config);
    if (secret === null) throw new StartupError(`${path} was removed while it was read`);
    return secret;
  }

  /** Reads the key secret without creating one; null where there is none. @throws StartupError */
  static async find({ access, database }: Config): Promise<KeySecret | null> {
    const setting = access.previousKeySecret === null ? [] : [access.previousKeySecret];
    if (access.keySecret !== null) return KeySecret.of(access.keySecret, setting);
    const value = await readSecret(join(database.dataDir, FILE)).catch(rethrowUnlessMissing);
    if (value === null) return null;
    const kept = await readSecret(join(database.dataDir, PREVIOUS_FILE)).catch(rethrowUnlessMissing);
    return KeySecret.of(value, kept === null ? setting : [...setting, kept]);
  }

  /**
   * Replaces the secret in the data directory and keeps the current one as the previous one. It can be repeated after a crash.
   * @returns the path of the file with the previous secret
   * @throws StartupError where the secret is a setting, there is none, or a rotation is in progress
   */
  static async rotate({ access, database }: Config): Promise<string> {
    if (access.keySecret !== null)
      throw new StartupError(
        'the key secret is a setting: change STOWAGE_KEY_SECRET and set STOWAGE_KEY_SECRET_PREVIOUS',
      );
    const [path, previousPath] = [join(database.dataDir, FILE), join(database.dataDir, PREVIOUS_FILE)];
    const value = await readSecret(path).catch(rethrowUnlessMissing);
    if (value === null) throw new StartupError(`${path} does not exist: start the server first`);
    const previous = await readSecret(previousPath).catch(rethrowUnlessMissing);
    if (previous !== null && previous !== value)
      throw new StartupError(
        `a rotation is in progress: delete ${previousPath} when \`stowage key secret\` lists no keys`,
      );
    // At any time each secret is in one of the files.
    if (previous === null) await link(path, previousPath);
    await syncFolder(database.dataDir);
    const draft = partPathOf(path);
    await writeSecret(draft);
    await rename(draft, path);
    await syncFolder(database.dataDir);
    return previousPath;
  }

  static idOf(value: string): string {
    return createHmac('sha256', value).update('stowage key secret id').digest('hex').slice(0, 16);
  }

  private static of(value: string, previous: readonly string[]): KeySecret {
    return new KeySecret(
      value,
      [...new Set(previous)].filter((secret) => secret !== value),
    );
  }
}

/** @throws StartupError for a file without a secret */
async function readSecret(path: string): Promise<string> {
  const value = (await readFile(path, 'utf8')).trim();
  if (value.length >= 32) return value;
  throw new StartupError(
    `${path} holds no key secret of at least 32 characters; restore the file, or delete it and create all keys again`,
  );
}

function rethrowUnlessMissing(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
  throw error;
}

/** Writes a new secret to a file that does not exist. */
async function writeSecret(path: string): Promise<void> {
  await writeFile(path, randomBytes(32).toString('hex') + '\n', { flag: 'wx', mode: 0o600, flush: true });
}

/**
 * Creates the file atomically unless it exists, also when two processes start at once. The file is on disk before any key is hashed with it:
 * after a power failure the keys in the database would be invalid without it.
 */
async function createOnce(path: string): Promise<void> {
  const draft = partPathOf(path);
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeSecret(draft);
    await link(draft, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw new StartupError(`cannot store the key secret in ${path}: ${(cause as Error).message}`, { cause });
  } finally {
    await rm(draft, { force: true });
  }
}

import { statfs } from 'node:fs/promises';

const CHECK_EVERY_MS = 2_000;

interface DiskReserveOptions {
  /** A path on the disk of the database. */
  path: string;
  /** The space to keep free; 0 for no check. */
  reserveBytes: number;
  /** Receives one line for each change. */
  warn: (line: string) => void;
}

/**
 * Watches the free space on the disk of the embedded database. PostgreSQL needs space to delete rows, for checkpoints and for
 * recovery too, so requests that store data must not use the last of it.
 */
export class DiskReserve {
  private readonly listeners: (() => void)[] = [];
  private timer: NodeJS.Timeout | undefined;
  private low = false;
  private isUnknown = false;

  constructor(private readonly options: DiskReserveOptions) {}

  /** Stowage does not know the disk of a database that it does not run. */
  static none(): DiskReserve {
    return new DiskReserve({ path: '', reserveBytes: 0, warn: () => undefined });
  }

  /** Whether less space is free than the reserve. */
  get isLow(): boolean {
    return this.low;
  }

  /** Calls the listener after each change of `isLow`. */
  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** Checks the free space once, and then every two seconds. */
  async start(): Promise<void> {
    if (this.options.reserveBytes === 0) return;
    await this.check();
    this.timer = setInterval(() => {
      void this.check();
    }, CHECK_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** A failed check changes nothing: PostgreSQL itself reports a full disk. */
  private async check(): Promise<void> {
    const { path, reserveBytes, warn } = this.options;
    let freeBytes: number;
    try {
      const { bavail, bsize } = await statfs(path);
      freeBytes = bavail * bsize;
      this.isUnknown = false;
    } catch (error) {
      if (!this.isUnknown) warn(`the free space of the database's disk is unknown: ${(error as Error).message}`);
      this.isUnknown = true;
      return;
    }
    const isLow = freeBytes < reserveBytes;
    if (isLow === this.low) return;
    this.low = isLow;
    const effect = isLow
      ? 'writes are rejected, and no jobs are started'
      : 'writes are accepted and jobs are started again';
    warn(
      `${mebibytes(freeBytes)} are free on the disk of the database (reserve: ${mebibytes(reserveBytes)}): ${effect}`,
    );
    for (const listener of this.listeners) listener();
  }
}

function mebibytes(bytes: number): string {
  return `${String(Math.floor(bytes / 1024 ** 2))} MiB`;
}

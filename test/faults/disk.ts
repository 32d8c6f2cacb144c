import { mkdir, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stack } from './stack.js';

/**
 * The disk of the embedded database, as Stowage sees it: `data/postgres` is a link to the files, and to another file system while
 * the disk is full. The files and the socket of PostgreSQL stay where they are.
 */
export class Disk {
  private constructor(
    private readonly link: string,
    /** The folder of the database's files. */
    readonly files: string,
  ) {}

  /** Must be called before the server starts. */
  static async create({ folder, postgresDir }: Stack): Promise<Disk> {
    const files = join(folder, 'disk/postgres');
    await mkdir(files, { recursive: true });
    await mkdir(join(folder, 'data'));
    await symlink(files, postgresDir);
    return new Disk(postgresDir, files);
  }

  /** /proc has no free space. Stowage checks every two seconds. */
  fill(): Promise<void> {
    return this.pointTo('/proc');
  }

  free(): Promise<void> {
    return this.pointTo(this.files);
  }

  private async pointTo(folder: string): Promise<void> {
    await symlink(folder, `${this.link}.new`);
    await rename(`${this.link}.new`, this.link);
  }
}

import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

const compress = promisify(gzip);

/** The bytes of one gzip member. A smaller one compresses less, and a larger one takes more memory. */
const MEMBER_BYTES = 1024 ** 2;
/** Members that are compressed at a time, on the threads of Node.js. */
const MEMBERS_AT_ONCE = 4;

/**
 * Writes a gzip file of many members, which are compressed in parallel: one stream of zlib takes one processor, and is slower than
 * PostgreSQL writes rows. Every program that reads gzip reads such a file.
 */
export class GzipFile {
  private readonly hash = createHash('sha256');
  private chunks: Buffer[] = [];
  private sizeBytes = 0;
  private members: Promise<Buffer>[] = [];

  private constructor(
    private readonly handle: FileHandle,
    private readonly level: number,
  ) {}

  /** Creates a file that only its owner can read; it must not exist. @param level of zlib, 0 for no compression */
  static async create(path: string, level: number): Promise<GzipFile> {
    return new GzipFile(await open(path, 'wx', 0o600), level);
  }

  async write(chunk: Buffer | string): Promise<void> {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    this.chunks.push(bytes);
    this.sizeBytes += bytes.length;
    if (this.sizeBytes >= MEMBER_BYTES) await this.addMember();
  }

  /** The SHA-256 of everything that was written, before compression. */
  digest(): string {
    const hash = this.hash.copy();
    for (const chunk of this.chunks) hash.update(chunk);
    return hash.digest('hex');
  }

  /** Writes the rest and waits until everything is on the disk. @returns the size of the file */
  async end(): Promise<number> {
    if (this.sizeBytes > 0) await this.addMember();
    while (this.members.length > 0) await this.writeMember();
    await this.handle.sync();
    const { size } = await this.handle.stat();
    await this.handle.close();
    return size;
  }

  /** Closes the file without its rest. */
  async abort(): Promise<void> {
    await Promise.allSettled(this.members);
    await this.handle.close().catch(() => undefined);
  }

  private async addMember(): Promise<void> {
    const member = Buffer.concat(this.chunks);
    this.chunks = [];
    this.sizeBytes = 0;
    this.hash.update(member);
    const compressed = compress(member, { level: this.level });
    // An error is thrown where the member is written.
    compressed.catch(() => undefined);
    this.members.push(compressed);
    if (this.members.length >= MEMBERS_AT_ONCE) await this.writeMember();
  }

  private async writeMember(): Promise<void> {
    const compressed = await this.members.shift();
    if (compressed !== undefined) await this.handle.writeFile(compressed);
  }
}

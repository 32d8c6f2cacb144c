import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { StartupError } from '#platform';
import {
  END_OF_ROWS,
  FORMAT_VERSION,
  parseEntry,
  parseFormat,
  parseHeader,
  type BackupEnd,
  type BackupHeader,
  type TableHeader,
} from './backup-format.js';

const CHUNK_BYTES = 256 * 1024;
/** No line of a backup is longer. */
const LINE_BYTES_MAX = 1024 ** 2;
const LINE_FEED = 10;
const UNKNOWN_LINE = 'unexpected line';
/** A row ends with the line feed. */
const LAST_ROW_AND_END = Buffer.from(`\n${END_OF_ROWS}`);

/** Reads a backup from its start to its end, in constant memory. Every method throws a StartupError for a file that is not whole. */
export class BackupReader {
  private readonly hash = createHash('sha256');
  /** Decompressed and not yet read. */
  private rest: Buffer = Buffer.alloc(0);

  private constructor(
    private readonly path: string,
    readonly sizeBytes: number,
    private readonly chunks: AsyncIterator<Buffer>,
    private readonly stop: () => void,
    /** How much of the file was read. */
    readonly readBytes: () => number,
  ) {}

  /** Opens a file and reads its header. @throws StartupError for a file that is no backup, or one of a newer format */
  static async open(path: string): Promise<{ reader: BackupReader; header: BackupHeader }> {
    const found = await stat(path).catch((cause: unknown) => {
      throw new StartupError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
    });
    const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
    const content = createGunzip({ chunkSize: CHUNK_BYTES });
    // An error of the file also ends the content, where it is thrown.
    pipeline(file, content, () => undefined);
    const chunks = content[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    const reader = new BackupReader(
      path,
      found.size,
      chunks,
      () => file.destroy(),
      () => file.bytesRead,
    );
    try {
      return { reader, header: await reader.readHeader() };
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  close(): void {
    this.stop();
  }

  /** The next table, whose rows must be read before the one after it; the last line where there is no other. */
  async next(): Promise<TableHeader | BackupEnd> {
    const digest = this.hash.copy();
    const entry = parseEntry(await this.readLine());
    if (entry === null) throw this.damaged(UNKNOWN_LINE);
    if ('table' in entry) return entry;
    if (entry.sha256 !== digest.digest('hex')) throw this.damaged('its SHA-256 differs');
    if (this.rest.length > 0 || (await this.fill())) throw this.damaged('there is more after its end');
    return entry;
  }

  /** The rows of the table that `next` returned, in the text format of COPY. A chunk may end within a row. */
  async *rows(): AsyncGenerator<Buffer, void, undefined> {
    while (this.rest.length < END_OF_ROWS.length) await this.require();
    if (this.rest.subarray(0, END_OF_ROWS.length).toString() === END_OF_ROWS) {
      this.take(END_OF_ROWS.length);
      return;
    }
    for (;;) {
      const at = this.rest.indexOf(LAST_ROW_AND_END);
      if (at !== -1) {
        yield this.take(at + 1);
        this.take(END_OF_ROWS.length);
        return;
      }
      // The end may begin in the last bytes.
      const certain = this.rest.length - LAST_ROW_AND_END.length + 1;
      if (certain > 0) yield this.take(certain);
      await this.require();
    }
  }

  private async readHeader(): Promise<BackupHeader> {
    const text = await this.readLine().catch((cause: unknown) => {
      throw this.notABackup(cause);
    });
    const format = parseFormat(text);
    if (format === null) throw this.notABackup();
    if (format.version > FORMAT_VERSION) {
      const versions = `${String(format.version)}, and this version of Stowage reads ${String(FORMAT_VERSION)}`;
      throw new StartupError(`${this.path} has the format ${versions}: use the version that wrote it`);
    }
    const header = parseHeader(text);
    if (header === null) throw this.damaged(UNKNOWN_LINE);
    return header;
  }

  private async readLine(): Promise<string> {
    let end: number;
    while ((end = this.rest.indexOf(LINE_FEED)) === -1) {
      if (this.rest.length > LINE_BYTES_MAX) throw this.damaged('a line is too long');
      await this.require();
    }
    return this.take(end + 1).toString();
  }

  /** Removes the first bytes. Everything that is read passes here. */
  private take(length: number): Buffer {
    const taken = this.rest.subarray(0, length);
    this.rest = this.rest.subarray(length);
    this.hash.update(taken);
    return taken;
  }

  private async require(): Promise<void> {
    if (!(await this.fill())) throw this.damaged('its end is missing');
  }

  /** Adds a chunk to the rest. @returns false at the end of the file */
  private async fill(): Promise<boolean> {
    let next: IteratorResult<Buffer>;
    try {
      next = await this.chunks.next();
    } catch (cause) {
      throw this.damaged((cause as Error).message, cause);
    }
    if (next.done === true) return false;
    this.rest = this.rest.length === 0 ? next.value : Buffer.concat([this.rest, next.value]);
    return true;
  }

  private damaged(reason: string, cause?: unknown): StartupError {
    return new StartupError(`${this.path} is damaged or incomplete: ${reason}; nothing was restored`, { cause });
  }

  private notABackup(cause?: unknown): StartupError {
    return new StartupError(`${this.path} is not a backup of Stowage`, { cause });
  }
}

import { createHash } from 'node:crypto';
import type { Snapshot } from '#database';
import type { EncryptedKeys } from '#encryption';
import type { BodySource } from '#http';
import { EventLoopYield } from '#platform';
import type { ExportEncoder } from './export-encoder.js';
import { ExportRows } from './export-rows.js';
import type { TimedCopy } from './timed-copy.js';

/** Parts of the response: many times larger than the cost of a part, and smaller than a client that pauses may keep in memory. */
const PART_BYTES = 64 * 1024;

/** What shows that an export is whole. */
export interface ExportDigest {
  /** Objects. */
  count: number;
  /** The SHA-256 of the export in hexadecimal, before compression and without a last line. */
  sha256: string;
}

/** An export, read from a snapshot while its client reads. */
export class ExportSource implements BodySource {
  private readonly rows = new ExportRows();
  private readonly hash = createHash('sha256');
  private readonly turns: EventLoopYield;
  private count = 0;
  private result: ExportDigest | null = null;
  private isClosed = false;

  /**
   * @param firstChunk the first bytes of the copy; null for no objects
   * @param releaseSlot is called once, when the source is closed
   */
  constructor(
    private readonly snapshot: Snapshot,
    private readonly copy: TimedCopy,
    private firstChunk: Buffer | null,
    private readonly encoder: ExportEncoder,
    private readonly encryption: EncryptedKeys,
    private readonly releaseSlot: () => void,
    private readonly projectId: number,
  ) {
    this.turns = new EventLoopYield(projectId);
  }

  /** Null until the whole export has been read from the database. */
  get digest(): ExportDigest | null {
    return this.result;
  }

  async next(): Promise<Buffer | null> {
    if (this.result !== null) return null;
    const parts: Buffer[] = [];
    let sizeBytes = 0;
    do {
      const part = await this.readPart();
      parts.push(part);
      sizeBytes += part.length;
    } while (sizeBytes < PART_BYTES && !this.hasEnded());
    if (sizeBytes === 0) return null;
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts, sizeBytes);
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    try {
      await this.snapshot.close();
    } finally {
      this.releaseSlot();
    }
  }

  private hasEnded(): boolean {
    return this.result !== null;
  }

  private async readPart(): Promise<Buffer> {
    const chunk = this.firstChunk ?? (await this.copy.next());
    this.firstChunk = null;
    if (chunk === null) return this.end();
    const rows = await this.encryption.openRows(this.projectId, this.rows.take(chunk));
    this.count += rows.length;
    return this.hashed(await this.encoder.encode(rows, this.turns));
  }

  private async end(): Promise<Buffer> {
    const { encoder, count } = this;
    const rest = this.hashed(await encoder.end(this.turns));
    const sha256 = this.hash.digest('hex');
    this.result = { count, sha256 };
    return encoder.lastLine === undefined ? rest : Buffer.concat([rest, Buffer.from(encoder.lastLine(count, sha256))]);
  }

  private hashed(part: string | Uint8Array): Buffer {
    const bytes = typeof part === 'string' ? Buffer.from(part) : Buffer.from(part.buffer, part.byteOffset, part.length);
    this.hash.update(bytes);
    return bytes;
  }
}

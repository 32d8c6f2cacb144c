import type { Database, Snapshot } from '#database';
import type { EncryptedKeys } from '#encryption';
import type { BodySource } from '#http';
import { viewedTexts, type ObjectView } from '#objects';
import type { BatchRow } from '#store';
import type { BatchObjects, BatchReadStore } from './batch-read.store.js';
import { nestedObjectText, type BatchFormat } from './batch-wire.js';

/** Objects that one statement reads: so many that the round trip does not matter, so few that they fit in memory. */
const CHUNK_OBJECTS = 1_000;

/** The text of a batch, read in chunks from one snapshot. */
export class LargeBatchSource implements BodySource {
  private snapshot: Snapshot | null = null;
  /** The chunk that `next` returns; null after the last. */
  private chunk: BatchObjects | null = null;
  private isFirst = true;
  private isClosed = false;

  /** @param releaseSlot is called once, when the source is closed */
  constructor(
    private readonly store: BatchReadStore,
    private readonly encryption: EncryptedKeys,
    private readonly projectId: number,
    private readonly batchId: string,
    private readonly view: ObjectView,
    private readonly format: BatchFormat,
    private readonly releaseSlot: () => void,
  ) {}

  /** Opens the snapshot and reads the batch and its first chunk; null when there is no such batch. */
  async open(database: Database): Promise<BatchRow | null> {
    this.snapshot = await database.openSnapshot();
    const found = await this.store.findWithObjects(
      this.projectId,
      this.batchId,
      { limit: CHUNK_OBJECTS },
      this.snapshot,
    );
    this.chunk = found;
    return found?.batch ?? null;
  }

  async next(): Promise<string | null> {
    if (this.chunk === null || this.snapshot === null) return null;
    const { objects, hasMore } = this.chunk;
    const { head, join, separator, end } = this.format;
    const last = objects.at(-1);
    const start = this.isFirst ? head(this.batchId) : separator;
    const rows = await this.encryption.openRows(this.projectId, objects);
    const text = start + join(await viewedTexts(rows, nestedObjectText, this.view, this.projectId));
    this.isFirst = false;
    if (!hasMore || last === undefined) {
      this.chunk = null;
      return text + end;
    }
    this.chunk = await this.store.objectsAfter(this.snapshot, this.projectId, this.batchId, last.seq, CHUNK_OBJECTS);
    return text;
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    try {
      await this.snapshot?.close();
    } finally {
      this.releaseSlot();
    }
  }
}

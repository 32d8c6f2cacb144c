import { ByteBudget, type Config, ProjectSlots, type Reservation } from '#platform';
import { Problem, insufficientStorage } from '#http';
import { type DiskReserve, isUniqueViolation, type Sequence } from '#database';
import type { JobKey } from './job-key.js';
import { partsDeleted, type JobStore } from './job.store.js';
import type { ReceivedBytes, StreamReader } from './stream-reader.js';

/** A stream is stored in parts of at least this size while there is memory for them. */
const PART_BYTES = 1024 ** 2;
/** Time in which the client has to send such a part. A stream that is slower, and one without memory, has parts of this size. */
const PART_MS = 1_000;
const SLOW_PART_BYTES = 64 * 1024;
/** Time in which a part of `PART_BYTES` arrives from a fast client, with the wait for its turn. */
const FAST_MS = 1_500;

/** Streams of which a part is read at a time, of all projects and of one. */
const TURNS = 64;
const TURNS_PER_PROJECT = 32;

/** Parts of one project that are stored at a time. */
const PARTS_PER_PROJECT = 2;

/** What streams that are arriving take of the disk, per process; those of one project take at most half of it. */
const STORED_BYTES = 4 * 1024 ** 3;
/** Disk space is reserved in steps of this size. */
const STORED_STEP_BYTES = 1024 ** 2;

/** Consecutive bytes of a stream that are in memory. */
export interface StreamPart extends ReceivedBytes {
  /** Whether `PART_BYTES` arrived within `FAST_MS`. */
  isFast: boolean;
  /** Releases the memory that is reserved for it. */
  release: () => void;
}

/** A stream, or its beginning, that is stored in parts. */
export interface StoredStream extends JobKey {
  /** Number of parts. */
  parts: number;
  /** Size of all parts. */
  sizeBytes: number;
  /** The disk space that is reserved for it while it arrives. */
  space: Reservation | null;
}

/** Stores streams in parts. Each part is committed on its own, so a slow client holds no database connection. */
export class StreamParts {
  private readonly space: ByteBudget;
  private readonly slots: ProjectSlots;
  private readonly turns = new ProjectSlots({ total: TURNS, perProject: TURNS_PER_PROJECT });

  constructor(
    private readonly jobs: JobStore,
    private readonly sequence: Sequence,
    private readonly budget: ByteBudget,
    private readonly disk: DiskReserve,
    { database: { sharedMax } }: Config,
    storedBytes = STORED_BYTES,
  ) {
    this.space = new ByteBudget({ totalBytes: storedBytes, waitMs: 0, waitingPerProject: 0, waitingTotal: 0 });
    // The request of a stream takes no slot of `RequestSlots`.
    const total = Math.max(2, Math.floor(sharedMax / 4));
    this.slots = new ProjectSlots({ total, perProject: Math.min(PARTS_PER_PROJECT, Math.floor(total / 2)) });
  }

  /** @param streamId the number to store it under; another one is used where it exists */
  begin(projectId: number, streamId: string): StoredStream {
    return { projectId, jobId: streamId, parts: 0, sizeBytes: 0, space: null };
  }

  /**
   * Passes the parts of a stream to `use` until that returns something, which is the result. A stream has a turn while a part is
   * read and used; while it waits for its turn, nothing is read from its client. So the memory does not grow with the number of
   * streams, apart from `SLOW_PART_BYTES` that a slow client may fill in several turns.
   * @param use has to release the part
   */
  async read<T>(projectId: number, reader: StreamReader, use: (part: StreamPart) => Promise<T | null>): Promise<T> {
    for (;;) {
      const used = await this.turns.run(projectId, async () => {
        const part = await this.readPart(projectId, reader);
        return part === null ? null : use(part);
      });
      if (used !== null) return used;
    }
  }

  /** The next part of a stream; null where its client is slow and more has to arrive. */
  private async readPart(projectId: number, reader: StreamReader): Promise<StreamPart | null> {
    const memory = this.budget.reserve(projectId, PART_BYTES);
    try {
      const arrivingMs = await reader.fill(memory === null ? SLOW_PART_BYTES : PART_BYTES, PART_MS);
      if (!reader.isEnd && reader.sizeBytes < SLOW_PART_BYTES) {
        memory?.release();
        return null;
      }
      const arrived = reader.take();
      memory?.shrinkTo(arrived.sizeBytes);
      return {
        ...arrived,
        isFast: arrived.sizeBytes >= PART_BYTES && arrivingMs <= FAST_MS,
        release: () => memory?.release(),
      };
    } catch (error) {
      memory?.release();
      throw error;
    }
  }

  /**
   * Stores the next part. The first one reserves a number: no two streams are stored under the same one.
   * @throws Problem insufficient-storage; too-large, or unavailable, where streams take too much of the disk; not-found where the
   *   project was deleted
   */
  async add(stored: StoredStream, { blocks, sizeBytes }: Pick<StreamPart, 'blocks' | 'sizeBytes'>): Promise<void> {
    this.requireDisk();
    this.reserveSpace(stored, sizeBytes);
    await this.slots.run(stored.projectId, () => {
      const bytes = Buffer.concat(blocks);
      return stored.parts === 0 ? this.addFirst(stored, bytes) : this.jobs.addPart(stored, stored.parts, bytes);
    });
    stored.parts++;
  }

  /** @throws Problem insufficient-storage while the disk is nearly full */
  requireDisk(): void {
    if (this.disk.isLow) throw insufficientStorage();
  }

  /**
   * The bytes of the parts. Ends early where another worker completes the job meanwhile, which deletes the parts; the receipt of
   * this attempt then rolls it back.
   * @throws Problem not-found where the project was deleted; unavailable where parts of a stream that is no job were deleted as abandoned
   * @throws Error when a part of a job is missing for any other reason, so that a damaged body is never stored as a short one
   */
  async *bytesOf({ projectId, jobId, parts }: Pick<StoredStream, keyof JobKey | 'parts'>): AsyncGenerator<Buffer> {
    for (let part = 0; part < parts; part++) {
      const bytes = await this.jobs.part({ projectId, jobId }, part);
      if (bytes === null) {
        const status = await this.jobs.statusOf({ projectId, jobId });
        if (status === 'succeeded') return;
        await this.jobs.requireProject(projectId);
        if (status === null) throw partsDeleted();
        throw new Error(`part ${String(part)} of ${String(parts)} of the body of job ${jobId} is missing`);
      }
      yield bytes;
    }
  }

  /** Releases the disk space that is reserved. The parts stay. */
  end(stored: StoredStream): void {
    stored.space?.release();
  }

  async delete(stored: StoredStream): Promise<void> {
    this.end(stored);
    if (stored.parts > 0) await this.jobs.deleteParts(stored);
  }

  private async addFirst(stored: StoredStream, bytes: Buffer): Promise<void> {
    for (;;) {
      try {
        await this.jobs.addPart(stored, 0, bytes);
        return;
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        stored.jobId = this.sequence.next().toString();
      }
    }
  }

  private reserveSpace(stored: StoredStream, bytes: number): void {
    stored.sizeBytes += bytes;
    const missing = stored.sizeBytes - (stored.space?.bytes ?? 0);
    if (missing <= 0) return;
    const step = Math.max(missing, STORED_STEP_BYTES);
    if (stored.space?.grow(step) === true) return;
    stored.space ??= this.space.reserve(stored.projectId, step);
    if ((stored.space?.bytes ?? 0) >= stored.sizeBytes) return;
    const { shareBytes } = this.space;
    if (stored.sizeBytes > shareBytes) {
      throw new Problem('too-large', {
        detail: `A stream that arrives slowly, or while all slots of streams are in use, has at most ${String(shareBytes)} bytes; divide it into several batches.`,
      });
    }
    throw new Problem('unavailable', {
      detail: 'Streams that have not arrived take all of the disk space for them; retry later.',
    });
  }
}

import { ByteBudget, Config, ProjectSlots } from '#platform';
import { JsonBody, NdjsonBody, type BodyLimit } from '#http';
import { isUniqueViolation, Sequence } from '#database';
import { Injectable } from '@nestjs/common';
import { JobStore, type ClaimedJob, type JobKey } from './job.store.js';
import { StreamReader, type Arrived } from './stream-reader.js';

/** A stream is stored in parts of at least this size while there is memory for them. */
const PART_BYTES = 1024 ** 2;
/** Time in which the client has to send such a part. A stream that is slower, and one without memory, has parts of this size. */
const PART_MS = 1_000;
const SLOW_PART_BYTES = 64 * 1024;
/** Parts of one project that are stored at a time; the request of a stream takes no slot of `RequestSlots`. */
const PARTS_PER_PROJECT = 2;

/** Consecutive bytes of a stream that are in memory. */
export interface StreamPart extends Arrived {
  /** Whether `PART_BYTES` arrived within `PART_MS`. */
  isFast: boolean;
  /** Releases the memory that is reserved for it. */
  release: () => void;
}

/** A stream, or its beginning, that is stored in parts. */
export interface StoredParts extends JobKey {
  /** Number of parts. */
  parts: number;
}

/** Stores and reads the bodies of jobs: a JSON body in one part, a stream in as many as it needs. */
@Injectable()
export class JobBodyStore {
  private readonly slots = new ProjectSlots({ perProject: PARTS_PER_PROJECT });

  constructor(
    private readonly jobs: JobStore,
    private readonly sequence: Sequence,
    private readonly budget: ByteBudget,
    private readonly config: Config,
  ) {}

  /**
   * Stores a stream before its job. Each part is committed on its own, so a slow client holds no database connection.
   * Parts without a job are deleted here when the stream breaks off, and by maintenance when the process dies.
   * @param jobId the number to store it under; another one is used where it exists
   */
  async save(projectId: number, jobId: string, body: NdjsonBody): Promise<StoredParts> {
    const stored: StoredParts = { projectId, jobId, parts: 0 };
    const reader = new StreamReader(body.bytes);
    try {
      for (;;) {
        const part = await this.readPart(projectId, reader);
        try {
          // An empty stream is one empty part.
          if (part.sizeBytes > 0 || stored.parts === 0) await this.addPart(stored, part);
        } finally {
          part.release();
        }
        if (part.isEnd) return stored;
      }
    } catch (error) {
      await this.deleteParts(stored).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Reads the next part of a stream. While it waits for a slow client, at most `SLOW_PART_BYTES` are in memory, which the budget
   * does not count.
   */
  async readPart(projectId: number, reader: StreamReader): Promise<StreamPart> {
    const memory = this.budget.reserve(projectId, PART_BYTES);
    try {
      const part = await reader.fill(memory === null ? SLOW_PART_BYTES : PART_BYTES, PART_MS);
      if (!part.isEnd && part.sizeBytes < SLOW_PART_BYTES) {
        memory?.release();
        const rest = await reader.fill(SLOW_PART_BYTES - part.sizeBytes);
        part.chunks.push(...rest.chunks);
        part.sizeBytes += rest.sizeBytes;
        part.isEnd = rest.isEnd;
      }
      return { ...part, isFast: part.sizeBytes >= PART_BYTES, release: () => memory?.release() };
    } catch (error) {
      memory?.release();
      throw error;
    }
  }

  /** Stores the next part. The first one reserves a number: no two uploads write under the same one. */
  async addPart(stored: StoredParts, { chunks }: Pick<StreamPart, 'chunks'>): Promise<void> {
    const bytes = Buffer.concat(chunks);
    await this.slots.run(stored.projectId, () =>
      stored.parts === 0 ? this.saveFirstPart(stored, bytes) : this.jobs.addPart(stored, stored.parts, bytes),
    );
    stored.parts++;
  }

  async deleteParts(stored: StoredParts): Promise<void> {
    if (stored.parts > 0) await this.jobs.deleteParts(stored);
  }

  /** @param limit of a JSON body; undefined for a stream and for jobs of earlier versions */
  open(key: JobKey, { media_type, parts, body }: ClaimedJob, limit?: BodyLimit): JsonBody | NdjsonBody {
    if (media_type === 'application/x-ndjson') return new NdjsonBody(this.readParts({ ...key, parts }), 'job');
    if (body === null) throw new Error(`the body of job ${key.jobId} is missing`);
    return new JsonBody(body, limit ?? this.config.limits.bodyLimitBytes, key.projectId);
  }

  private async saveFirstPart(key: JobKey, bytes: Buffer): Promise<void> {
    for (;;) {
      try {
        await this.jobs.addPart(key, 0, bytes);
        return;
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        key.jobId = this.sequence.next().toString();
      }
    }
  }

  /**
   * The bytes of the parts. Ends early where another worker completes the job meanwhile, which deletes the parts; the receipt of this attempt then
   * rolls it back.
   * @throws Problem not-found where the project was deleted
   * @throws Error when a part is missing for any other reason, so that a damaged body is never stored as a short one
   */
  async *readParts({ parts, ...key }: StoredParts): AsyncGenerator<Buffer> {
    for (let part = 0; part < parts; part++) {
      const bytes = await this.jobs.part(key, part);
      if (bytes === null) {
        if ((await this.jobs.statusOf(key)) === 'succeeded') return;
        await this.jobs.requireProject(key.projectId);
        throw new Error(`part ${String(part)} of ${String(parts)} of the body of job ${key.jobId} is missing`);
      }
      yield bytes;
    }
  }
}

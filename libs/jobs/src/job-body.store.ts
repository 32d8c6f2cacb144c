import { Config, ProjectSlots } from '#platform';
import { JsonBody, NdjsonBody, type BodyLimit } from '#http';
import { isUniqueViolation, Sequence } from '#database';
import { Injectable } from '@nestjs/common';
import { JobStore, type ClaimedJob, type JobKey } from './job.store.js';

/** A stream is stored in parts of at least this size; one part is held in memory. */
const PART_BYTES = 1024 ** 2;
/** Parts of one project that are stored at a time; the request of a stream takes no slot of `RequestSlots`. */
const PARTS_PER_PROJECT = 2;

/** Stores and reads the bodies of jobs: a JSON body in one part, a stream in as many as it needs. */
@Injectable()
export class JobBodyStore {
  private readonly slots = new ProjectSlots({ perProject: PARTS_PER_PROJECT });

  constructor(
    private readonly jobs: JobStore,
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  /**
   * Stores a stream before its job. Each part is committed on its own, so a slow client holds no database connection.
   * Parts without a job are deleted here when the stream breaks off, and by maintenance when the process dies.
   * @param jobId the number to store it under; another one is used where it exists
   * @returns the number it is stored under
   */
  async save(projectId: number, jobId: string, body: NdjsonBody): Promise<{ jobId: string; parts: number }> {
    const key = { projectId, jobId };
    let parts = 0;
    try {
      for await (const bytes of partsOf(body.bytes)) {
        const part = parts;
        await this.slots.run(projectId, () =>
          part === 0 ? this.saveFirstPart(key, bytes) : this.jobs.addPart(key, part, bytes),
        );
        parts++;
      }
    } catch (error) {
      if (parts > 0) await this.jobs.deleteParts(key).catch(() => undefined);
      throw error;
    }
    return { jobId: key.jobId, parts };
  }

  /** @param limit of a JSON body; undefined for a stream and for jobs of earlier versions */
  open(key: JobKey, { media_type, parts, body }: ClaimedJob, limit?: BodyLimit): JsonBody | NdjsonBody {
    if (media_type === 'application/x-ndjson') return new NdjsonBody(this.read(key, parts), true);
    if (body === null) throw new Error(`the body of job ${key.jobId} is missing`);
    return new JsonBody(body, limit ?? this.config.limits.bodyLimitBytes);
  }

  /** The first part reserves the number: no two uploads write under the same one. */
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
   * Ends early where another worker completes the job meanwhile, which deletes the parts; the receipt of this attempt then
   * rolls it back.
   * @throws Error when a part is missing for any other reason, so that a damaged body is never stored as a short one
   */
  private async *read(key: JobKey, count: number): AsyncGenerator<Buffer> {
    for (let part = 0; part < count; part++) {
      const bytes = await this.jobs.part(key, part);
      if (bytes === null) {
        if ((await this.jobs.statusOf(key)) === 'succeeded') return;
        throw new Error(`part ${String(part)} of ${String(count)} of the body of job ${key.jobId} is missing`);
      }
      yield bytes;
    }
  }
}

/** The chunks joined to parts; an empty stream is one empty part. */
async function* partsOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let sizeBytes = 0;
  let isEmpty = true;
  for await (const chunk of chunks) {
    pending.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes < PART_BYTES) continue;
    yield Buffer.concat(pending);
    isEmpty = false;
    pending = [];
    sizeBytes = 0;
  }
  if (sizeBytes > 0 || isEmpty) yield Buffer.concat(pending);
}

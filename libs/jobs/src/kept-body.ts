import { Config } from '#platform';
import { JsonBody, NdjsonBody } from '#http';
import { Injectable } from '@nestjs/common';
import { JobStore, type ClaimedJob, type JobKey } from './job.store.js';

/** A stream is kept in parts of at least so many bytes; one part is what it costs in memory. */
const PART_BYTES = 1024 ** 2;

/** The bodies of jobs: a JSON body in one part, a stream in as many as it takes. */
@Injectable()
export class KeptBody {
  constructor(
    private readonly jobs: JobStore,
    private readonly config: Config,
  ) {}

  /**
   * Keeps a stream, then accepts its job. Each part is committed on its own: so a client that sends slowly holds no
   * connection of the database, and parts without a job are nobody's until maintenance deletes them.
   */
  async keep(key: JobKey, body: NdjsonBody, accept: (parts: number) => Promise<void>): Promise<void> {
    let parts = 0;
    try {
      for await (const bytes of gathered(body.bytes)) await this.jobs.addPart(key, parts++, bytes);
    } catch (error) {
      if (parts > 0) await this.jobs.deleteParts(key).catch(() => undefined);
      throw error;
    }
    // From here on the parts stay, whatever is thrown: the job may be committed although the answer to it was lost.
    await accept(parts);
  }

  open(key: JobKey, { media_type, parts, body }: ClaimedJob): JsonBody | NdjsonBody {
    if (media_type === 'application/x-ndjson') return new NdjsonBody(this.parts(key, parts), true);
    if (body === null) throw new Error('the body of a job is not there');
    return new JsonBody(body, this.config.limits.bodyLimitBytes);
  }

  /**
   * Ends early where another attempt succeeds meanwhile, which deletes them; this one's receipt then undoes all it did.
   * @throws Error when a part is missing for any other reason: a body that was lost must never pass for a short one
   */
  private async *parts(key: JobKey, count: number): AsyncGenerator<Buffer> {
    for (let part = 0; part < count; part++) {
      const bytes = await this.jobs.part(key, part);
      if (bytes === null) {
        if ((await this.jobs.statusOf(key)) === 'succeeded') return;
        throw new Error(`part ${String(part)} of ${String(count)} of the body of job ${key.jobId} is not there`);
      }
      yield bytes;
    }
  }
}

async function* gathered(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    held.push(chunk);
    size += chunk.length;
    if (size < PART_BYTES) continue;
    yield Buffer.concat(held);
    held = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(held);
}

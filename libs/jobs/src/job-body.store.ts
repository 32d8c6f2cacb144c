import { Config } from '#platform';
import { isStreamType, JsonBody, RequestStream, type BodyLimit } from '#http';
import { Injectable } from '@nestjs/common';
import { JobBodyRoom } from './job-body-room.js';
import type { JobKey } from './job-key.js';
import type { ClaimedJob } from './job.store.js';
import { StreamParts, type StoredStream, type StreamPart } from './stream-parts.js';
import { StreamReader } from './stream-reader.js';

/** The parts of a body, which a job gets. */
interface SavedBody extends JobKey {
  parts: number;
  /** Call it when the job is stored, or is not going to be. */
  release: () => void;
}

/** Stores and reads the bodies of jobs: a JSON body in one part, a stream in as many as it needs. */
@Injectable()
export class JobBodyStore {
  constructor(
    private readonly parts: StreamParts,
    private readonly room: JobBodyRoom,
    private readonly config: Config,
  ) {}

  /**
   * Stores a stream before its job, and takes the room of a JSON body, which is stored with its job. Parts without a job are deleted
   * here when the stream breaks off, by `WriteService` when the job cannot be stored, and as abandoned when the process dies.
   * @param jobId the number to store it under; another one is used where it exists
   * @throws the error of the stream; the problems of `JobBodyRoom` and `StreamParts`
   */
  async save(projectId: number, jobId: string, body: JsonBody | RequestStream): Promise<SavedBody> {
    if (body instanceof JsonBody) {
      const release = await this.room.take(projectId, body.bytes.length, body.bytes.length);
      return { projectId, jobId, parts: 1, release };
    }
    const stored = this.parts.begin(projectId, jobId);
    const reader = new StreamReader(body.bytes);
    try {
      return await this.parts.read(projectId, reader, async (part) => {
        try {
          await this.addPart(stored, part);
        } finally {
          part.release();
        }
        if (!part.isEnd) return null;
        this.parts.end(stored);
        return { projectId, jobId: stored.jobId, parts: stored.parts, release: () => undefined };
      });
    } catch (error) {
      await this.parts.delete(stored).catch(() => undefined);
      throw error;
    }
  }

  private async addPart(stored: StoredStream, part: StreamPart): Promise<void> {
    const release = await this.room.take(stored.projectId, part.sizeBytes, stored.sizeBytes + part.sizeBytes);
    try {
      // An empty stream is one empty part.
      if (part.sizeBytes > 0 || stored.parts === 0) await this.parts.add(stored, part);
    } finally {
      release();
    }
  }

  /** @param limit of a JSON body; undefined for a stream and for jobs of earlier versions */
  open(key: JobKey, { media_type, parts, body }: ClaimedJob, limit?: BodyLimit): JsonBody | RequestStream {
    if (isStreamType(media_type)) return new RequestStream(media_type, this.parts.bytesOf({ ...key, parts }), 'job');
    if (body === null) throw new Error(`the body of job ${key.jobId} is missing`);
    return new JsonBody(body, limit ?? this.config.limits.bodyLimitBytes, key.projectId);
  }
}

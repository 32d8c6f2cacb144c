import { ByteBudget, type Reservation } from '#platform';
import { NdjsonBody, Problem } from '#http';
import { Logger } from '@nestjs/common';
import { type JobBodyStore, type StoredParts, type StreamPart } from './job-body.store.js';
import { StreamReader } from './stream-reader.js';

/** Disk space is reserved in steps of this size. */
const STORED_STEP_BYTES = 1024 ** 2;

export interface StreamLimits {
  /** What slow streams may take of the disk, per process; one project may take half of it. */
  storedBytes: number;
  /** How long a client may let the server wait while its stream is written. */
  pauseMs: number;
  /** The average rate at which a client earns the time that it has used again. */
  bytesPerSecond: number;
}

const LIMITS: StreamLimits = { storedBytes: 4 * 1024 ** 3, pauseMs: 10_000, bytesPerSecond: 256 * 1024 };

/** A stream that is ready to be written. */
export interface ReceivedStream {
  body: NdjsonBody;
  /** Frees the memory and the disk space that it takes. Call it when the stream is written, or has failed. */
  free: () => Promise<void>;
}

/**
 * Receives streams, so that a client that is slower than the server holds no database connection and no transaction. A stream is
 * stored in parts until it has arrived, or until 1 MiB arrives within a second; from then on it is written while it arrives. A
 * short stream, and one that is fast from its start, is never stored.
 */
export class StreamReceiver {
  private readonly log = new Logger('streams');
  private readonly storage: ByteBudget;

  constructor(
    private readonly bodies: JobBodyStore,
    private readonly limits = LIMITS,
  ) {
    const withoutWaiting = { waitMs: 0, waitingPerProject: 0, waitingTotal: 0 };
    this.storage = new ByteBudget({ totalBytes: limits.storedBytes, ...withoutWaiting });
  }

  /**
   * Resolves when the stream is ready to be written.
   * @param streamId a sequence number; parts are stored under it
   * @throws the error of the stream; Problem unavailable where slow streams of the project take too much of the disk
   */
  async receive(projectId: number, streamId: string, body: NdjsonBody): Promise<ReceivedStream> {
    const stored: StoredParts = { projectId, jobId: streamId, parts: 0 };
    const reader = new StreamReader(body.bytes);
    const storage = new StoredBytes(this.storage, projectId);
    const free = async (): Promise<void> => {
      storage.release();
      // Maintenance deletes what is left.
      await this.bodies.deleteParts(stored).catch((error: unknown) => {
        this.log.warn(`the parts of a stream were not deleted: ${String(error)}`);
      });
    };
    try {
      for (;;) {
        const part = await this.bodies.readPart(projectId, reader);
        if (part.isFast || part.isEnd) return this.ready(stored, part, reader, body, free);
        try {
          storage.add(part.sizeBytes);
          await this.bodies.addPart(stored, part);
        } finally {
          part.release();
        }
      }
    } catch (error) {
      await free();
      throw error;
    }
  }

  /** The stored parts, then the last part, then the rest. */
  private ready(
    stored: StoredParts,
    part: StreamPart,
    reader: StreamReader,
    body: NdjsonBody,
    free: () => Promise<void>,
  ): ReceivedStream {
    const { bodies, limits } = this;
    async function* bytes(): AsyncGenerator<Buffer> {
      yield* bodies.readParts(stored);
      yield* part.chunks;
      if (!part.isEnd) yield* pacedBytes(reader, body, limits);
    }
    return {
      body: new NdjsonBody(bytes(), part.isEnd ? 'received' : 'client'),
      free: async () => {
        part.release();
        await free();
      },
    };
  }
}

/** The disk space that one stream takes. */
class StoredBytes {
  private bytes = 0;
  private reservation: Reservation | null = null;

  constructor(
    private readonly budget: ByteBudget,
    private readonly projectId: number,
  ) {}

  /** @throws Problem unavailable */
  add(bytes: number): void {
    this.bytes += bytes;
    const missing = this.bytes - (this.reservation?.bytes ?? 0);
    if (missing <= 0) return;
    const step = Math.max(missing, STORED_STEP_BYTES);
    if (this.reservation?.grow(step) === true) return;
    this.reservation ??= this.budget.reserve(this.projectId, step);
    if ((this.reservation?.bytes ?? 0) < this.bytes) throw storageFull();
  }

  release(): void {
    this.reservation?.release();
  }
}

/** The bytes of a stream that is written while it arrives. It fails when its client makes the server wait for too long. */
async function* pacedBytes(reader: StreamReader, body: NdjsonBody, limits: StreamLimits): AsyncGenerator<Buffer> {
  let { pauseMs } = limits;
  for (;;) {
    const sinceMs = performance.now();
    const bytes = await reader.next(pauseMs);
    if (bytes === null) return;
    if (bytes === 'late') {
      const error = tooSlow(limits);
      body.stop(error);
      throw error;
    }
    const waitedMs = performance.now() - sinceMs;
    pauseMs = Math.min(limits.pauseMs, pauseMs - waitedMs + (bytes.length * 1_000) / limits.bytesPerSecond);
    yield bytes;
  }
}

function tooSlow({ bytesPerSecond }: StreamLimits): Problem {
  const rate = `${String(bytesPerSecond / 1024)} KiB per second`;
  return new Problem('request-timeout', {
    detail: `The stream began faster than 1 MiB per second, and then fell below ${rate}; nothing was stored. Send it again at an even rate, or with Prefer: respond-async.`,
    headers: { Connection: 'close' },
  });
}

function storageFull(): Problem {
  return new Problem('unavailable', {
    detail: 'Slow streams of this project take all of their disk space; retry later, or send a shorter stream.',
  });
}

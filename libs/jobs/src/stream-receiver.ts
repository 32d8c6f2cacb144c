import { type Config, describeError, ProjectSlots } from '#platform';
import { RequestStream, Problem } from '#http';
import { Logger } from '@nestjs/common';
import { StreamPace, type PaceLimits } from './stream-pace.js';
import type { StoredStream, StreamPart, StreamParts } from './stream-parts.js';
import { StreamReader } from './stream-reader.js';

/** How often a stream that waits for its client is checked. */
const CHECK_EVERY_MS = 250;

const PACE: PaceLimits = { pauseMs: 10_000, bytesPerSecond: 256 * 1024 };

/** A stream that is ready to be written. */
export interface ReceivedStream {
  body: RequestStream;
  /** Frees everything that it holds. Call it when the stream is written, or has failed. */
  free: () => Promise<void>;
}

/**
 * Receives streams, so that a client that is slower than the server holds no database connection and no transaction. A stream is
 * stored in parts until it has arrived, or until 1 MiB arrives within a second; from then on it is written while it arrives. A
 * short stream, and one that is fast from its start, is never stored.
 *
 * A stream that is written while it arrives has a slot, because it holds a connection. Streams have slots for a third of the
 * connections, those of one project for half of these. A fast stream without a slot is stored in parts until there is one.
 */
export class StreamReceiver {
  private readonly log = new Logger('streams');
  private readonly slots: ProjectSlots;

  constructor(
    private readonly parts: StreamParts,
    { database: { sharedMax } }: Config,
    /** Of a stream that is written while it arrives. */
    private readonly pace = PACE,
  ) {
    const total = Math.max(1, Math.floor(sharedMax / 3));
    this.slots = new ProjectSlots({ total, perProject: Math.max(1, Math.floor(total / 2)) });
  }

  /**
   * Resolves when the stream is ready to be written.
   * @param streamId a sequence number; parts are stored under it
   * @throws the error of the stream; the problems of `StreamParts`
   */
  async receive(projectId: number, streamId: string, body: RequestStream): Promise<ReceivedStream> {
    const stored = this.parts.begin(projectId, streamId);
    const reader = new StreamReader(body.bytes);
    try {
      const last = await this.parts.read(projectId, reader, async (part) => {
        if (part.isEnd || (part.isFast && this.slots.tryTake(projectId))) return part;
        try {
          await this.parts.add(stored, part);
          return null;
        } finally {
          part.release();
        }
      });
      return last.isEnd ? this.whole(stored, last, body) : this.arriving(stored, last, reader, body);
    } catch (error) {
      await this.delete(stored);
      throw error;
    }
  }

  /** @param part the last one */
  private whole(stored: StoredStream, part: StreamPart, { mediaType }: RequestStream): ReceivedStream {
    return {
      body: new RequestStream(mediaType, this.bytesUpTo(stored, part), 'received'),
      free: async () => {
        part.release();
        await this.delete(stored);
      },
    };
  }

  /** @param part the last one before the stream is written */
  private arriving(stored: StoredStream, part: StreamPart, reader: StreamReader, body: RequestStream): ReceivedStream {
    const sinceMs = performance.now();
    const before = this.bytesUpTo(stored, part);
    const rest = this.pacedBytes(reader, body);
    async function* bytes(): AsyncGenerator<Buffer> {
      yield* before;
      yield* rest;
    }
    return {
      body: new RequestStream(body.mediaType, bytes(), 'client'),
      free: async () => {
        this.slots.release(stored.projectId, performance.now() - sinceMs);
        part.release();
        await this.delete(stored);
      },
    };
  }

  private async *bytesUpTo(stored: StoredStream, part: StreamPart): AsyncGenerator<Buffer> {
    yield* this.parts.bytesOf(stored);
    yield* part.blocks;
  }

  /** The rest of a stream. Fails when its client makes the server wait for too long, and while the disk is nearly full. */
  private async *pacedBytes(reader: StreamReader, body: RequestStream): AsyncGenerator<Buffer> {
    const pace = new StreamPace(this.pace);
    for (;;) {
      const sinceMs = performance.now();
      const bytes = await reader.next(CHECK_EVERY_MS);
      if (bytes === null) return;
      pace.add(bytes === 'late' ? 0 : bytes.length, performance.now() - sinceMs);
      if (pace.isTooSlow) {
        const error = tooSlow(this.pace);
        body.stop(error);
        throw error;
      }
      this.parts.requireDisk();
      if (bytes !== 'late') yield bytes;
    }
  }

  /** Maintenance deletes what this leaves behind. */
  private async delete(stored: StoredStream): Promise<void> {
    await this.parts.delete(stored).catch((error: unknown) => {
      this.log.warn(`the parts of a stream were not deleted: ${describeError(error)}`);
    });
  }
}

function tooSlow({ bytesPerSecond }: PaceLimits): Problem {
  const rate = `${String(bytesPerSecond / 1024)} KiB per second`;
  return new Problem('request-timeout', {
    detail: `The stream began faster than 1024 KiB per second, and then fell below ${rate}; nothing was stored. Send it again at an even rate, or with Prefer: respond-async.`,
    headers: { Connection: 'close' },
  });
}

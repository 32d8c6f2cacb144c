import { type Config, ProjectSlots } from '#platform';
import { NdjsonBody, Problem } from '#http';
import { Logger } from '@nestjs/common';
import { StreamPace, type PaceLimits } from './stream-pace.js';
import type { StoredStream, StreamPart, StreamParts } from './stream-parts.js';
import { StreamReader } from './stream-reader.js';

/** How long a fast stream waits for its slot. What it has sent so far is in memory. */
const SLOT_WAIT_MS = 10_000;
/** How often a stream that waits for its client is checked. */
const CHECK_EVERY_MS = 250;

export interface StreamLimits {
  /** The pace of a stream that is written while it arrives. */
  pace: PaceLimits;
  /** Its pace while another project waits for its slot. */
  awaitedPace: PaceLimits;
}

const LIMITS: StreamLimits = {
  pace: { pauseMs: 10_000, bytesPerSecond: 256 * 1024 },
  awaitedPace: { pauseMs: 2_000, bytesPerSecond: 1024 ** 2 },
};

/** A stream that is ready to be written. */
export interface ReceivedStream {
  body: NdjsonBody;
  /** Frees everything that it holds. Call it when the stream is written, or has failed. */
  free: () => Promise<void>;
}

/**
 * Receives streams, so that a client that is slower than the server holds no database connection and no transaction. A stream is
 * stored in parts until it has arrived, or until 1 MiB arrives within a second; from then on it is written while it arrives. A
 * short stream, and one that is fast from its start, is never stored.
 *
 * A stream that is written while it arrives has a slot, because it holds a connection. Streams have slots for half of the
 * connections, those of one project for half of these.
 */
export class StreamReceiver {
  private readonly log = new Logger('streams');
  private readonly slots: ProjectSlots;

  constructor(
    private readonly parts: StreamParts,
    { database: { sharedMax } }: Config,
    private readonly limits = LIMITS,
  ) {
    const total = Math.max(1, Math.floor(sharedMax / 2));
    this.slots = new ProjectSlots({ total, perProject: Math.max(1, Math.floor(total / 2)), waitMs: SLOT_WAIT_MS });
  }

  /**
   * Resolves when the stream is ready to be written.
   * @param streamId a sequence number; parts are stored under it
   * @throws the error of the stream; Problem unavailable where a fast stream gets no slot within ten seconds; the problems of
   *   `StreamParts`
   */
  async receive(projectId: number, streamId: string, body: NdjsonBody): Promise<ReceivedStream> {
    const stored = this.parts.begin(projectId, streamId);
    const reader = new StreamReader(body.bytes);
    try {
      const last = await this.parts.read(projectId, reader, async (part) => {
        if (part.isEnd || part.isFast) return part;
        try {
          await this.parts.add(stored, part);
          return null;
        } finally {
          part.release();
        }
      });
      return last.isEnd ? this.whole(stored, last) : await this.arriving(stored, last, reader, body);
    } catch (error) {
      await this.delete(stored);
      throw error;
    }
  }

  /** @param part the last one */
  private whole(stored: StoredStream, part: StreamPart): ReceivedStream {
    return {
      body: new NdjsonBody(this.bytesUpTo(stored, part), 'received'),
      free: async () => {
        part.release();
        await this.delete(stored);
      },
    };
  }

  private async arriving(
    stored: StoredStream,
    part: StreamPart,
    reader: StreamReader,
    body: NdjsonBody,
  ): Promise<ReceivedStream> {
    const releaseSlot = await this.slots.acquire(stored.projectId);
    if (releaseSlot === null) {
      part.release();
      throw new Problem('unavailable', { detail: 'All slots of streams are in use; retry later.' });
    }
    const before = this.bytesUpTo(stored, part);
    const rest = this.pacedBytes(stored.projectId, reader, body);
    async function* bytes(): AsyncGenerator<Buffer> {
      yield* before;
      yield* rest;
    }
    return {
      body: new NdjsonBody(bytes(), 'client'),
      free: async () => {
        releaseSlot();
        part.release();
        await this.delete(stored);
      },
    };
  }

  private async *bytesUpTo(stored: StoredStream, part: StreamPart): AsyncGenerator<Buffer> {
    yield* this.parts.bytesOf(stored);
    yield* part.blocks;
  }

  /** The rest of a stream. Fails when its client makes the server wait for too long. */
  private async *pacedBytes(projectId: number, reader: StreamReader, body: NdjsonBody): AsyncGenerator<Buffer> {
    const pace = new StreamPace(this.limits.pace);
    const awaitedPace = new StreamPace(this.limits.awaitedPace);
    for (;;) {
      const sinceMs = performance.now();
      const bytes = await reader.next(CHECK_EVERY_MS);
      if (bytes === null) return;
      const waitedMs = performance.now() - sinceMs;
      const sizeBytes = bytes === 'late' ? 0 : bytes.length;
      pace.add(sizeBytes, waitedMs);
      if (this.slots.isAwaitedByOthers(projectId)) awaitedPace.add(sizeBytes, waitedMs);
      else awaitedPace.reset();
      if (pace.isTooSlow || awaitedPace.isTooSlow) {
        const error = pace.isTooSlow
          ? tooSlow(this.limits.pace, '')
          : tooSlow(this.limits.awaitedPace, ' while another project waited for its slot');
        body.stop(error);
        throw error;
      }
      if (bytes !== 'late') yield bytes;
    }
  }

  /** Maintenance deletes what this leaves behind. */
  private async delete(stored: StoredStream): Promise<void> {
    await this.parts.delete(stored).catch((error: unknown) => {
      this.log.warn(`the parts of a stream were not deleted: ${String(error)}`);
    });
  }
}

function tooSlow({ bytesPerSecond }: PaceLimits, when: string): Problem {
  const rate = `${String(bytesPerSecond / 1024)} KiB per second`;
  return new Problem('request-timeout', {
    detail: `The stream began faster than 1024 KiB per second, and then fell below ${rate}${when}; nothing was stored. Send it again at an even rate, or with Prefer: respond-async.`,
    headers: { Connection: 'close' },
  });
}

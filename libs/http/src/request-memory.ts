import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ByteBudget, Reservation } from '#platform';
import { MEMORY_PACE, MemoryPace, type MemoryPaceLimits } from './memory-pace.js';
import { ownerOf } from './principal.js';
import { Problem } from './problems.js';
import { isReadRequest } from './route.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The memory of its JSON body; absent if it has none. */
    bodyMemory?: BodyMemory;
    /** The memory of the rows of its response; absent if none was reserved. */
    rowsMemory?: Reservation;
    /**
     * Reserves memory for rows that are read for the response, in place of what it reserved before. The response takes it over.
     * Does not wait, because the request holds a slot that others need.
     * @throws Problem unavailable if there is no room
     */
    reserveForRows(bytes: number): void;
  }
}

/** A body of unknown size, and a compressed one, begins with this much, and reserves more when it is larger. */
const FIRST_BYTES = 64 * 1024;
/**
 * Measured batches decompress to 15 to 90 times their size. A body that is smaller releases the rest when it has arrived. One
 * that is larger may find no room when it has nearly arrived: of 30 batches of 55 MB at once, six that began with an estimate
 * of 20 rejected one another halfway.
 */
const RATIO_ESTIMATE = 80;

/** Shorter responses are not counted: they fit into the buffers of a connection. */
const COUNTED_RESPONSE_BYTES = 256 * 1024;
/** Counted responses are sent in pieces, so that the progress of the client is known. */
const PIECE_BYTES = 64 * 1024;
/** A response does not wait, so it passes work that has waited for less than half of the time after which that is rejected. */
const PASSABLE_MS = 2_500;

/** The memory of bodies and responses. */
export class RequestMemory {
  private readonly pace: MemoryPace;
  /** The memory of the responses that have not ended on a connection. */
  private readonly heldBySocket = new WeakMap<Socket, Set<Reservation>>();

  constructor(
    private readonly budget: ByteBudget,
    limits: MemoryPaceLimits = MEMORY_PACE,
  ) {
    this.pace = new MemoryPace(limits);
  }

  /**
   * @param isCompressed whether the size is known only after decompression
   * @param rejectSlow called while other work waits for the memory and the client sends too slowly
   */
  forBody(request: FastifyRequest, isCompressed: boolean, limitBytes: number, rejectSlow: () => void): BodyMemory {
    const declaredBytes = Number(request.headers['content-length']);
    const sizeBytes = isCompressed ? declaredBytes * RATIO_ESTIMATE : declaredBytes;
    const memory = new BodyMemory(this.budget, this.pace, request, {
      firstBytes: isCompressed || Number.isNaN(declaredBytes) ? Math.min(FIRST_BYTES, limitBytes) : declaredBytes,
      expectedBytes: Number.isNaN(sizeBytes) ? 0 : Math.min(sizeBytes, limitBytes),
      limitBytes,
      rejectSlow,
    });
    request.bodyMemory = memory;
    return memory;
  }

  /** See `FastifyRequest.reserveForRows`. */
  reserveForRows(request: FastifyRequest, bytes: number): void {
    request.rowsMemory?.release();
    const most = Math.min(bytes, this.budget.shareBytes);
    const memory = this.budget.reserve(ownerOf(request), most, PASSABLE_MS);
    if (memory === null) throw outOfMemory();
    request.rowsMemory = memory;
  }

  /**
   * Releases the memory of the body and of rows, and counts a large response until the client has taken it. A response keeps as
   * much of that memory; a read that has none reserves it. Call it when the handler has ended.
   * @returns the payload to send; null if the budget has no room
   */
  countResponse(request: FastifyRequest, reply: FastifyReply, payload: unknown): unknown {
    const sizeBytes = countedBytes(payload);
    request.rowsMemory?.shrinkTo(sizeBytes);
    const isRead = isReadRequest(request);
    // The body of a read is a query, and is not kept in the response.
    const ofBody = request.bodyMemory?.end(isRead ? 0 : sizeBytes);
    const held = isRead ? request.rowsMemory : (ofBody ?? request.rowsMemory);
    if (sizeBytes === 0 || (held === undefined && !isRead)) return payload;
    // A page with the largest objects is a little longer than they are, and longer than the share where settings are minimal.
    const owner = ownerOf(request);
    const memory = held ?? this.budget.reserve(owner, Math.min(sizeBytes, this.budget.shareBytes), PASSABLE_MS);
    if (memory === null) return null;
    this.releaseAfter(request.raw, reply.raw, memory);
    reply.header('Content-Length', sizeBytes);
    return Readable.from(piecesOf(Buffer.from(payload as string)), { objectMode: false });
  }

  /**
   * Releases memory when the response is closed. A pipelined response that has not begun when its connection breaks is never
   * closed, so the connection is watched too, with one listener for all.
   */
  private releaseAfter({ socket }: IncomingMessage, response: ServerResponse, memory: Reservation): void {
    if (response.closed || socket.destroyed) {
      memory.release();
      return;
    }
    const held = this.heldBySocket.get(socket) ?? this.watchSocket(socket);
    held.add(memory);
    this.pace.watch(
      memory,
      memory,
      () => socket.bytesWritten,
      () => socket.destroy(),
    );
    response.once('close', () => {
      held.delete(memory);
      this.release(memory);
    });
  }

  private watchSocket(socket: Socket): Set<Reservation> {
    const held = new Set<Reservation>();
    this.heldBySocket.set(socket, held);
    socket.once('close', () => {
      for (const memory of held) this.release(memory);
    });
    return held;
  }

  private release(memory: Reservation): void {
    this.pace.unwatch(memory);
    memory.release();
  }
}

interface BodySize {
  /** What is reserved when the first bytes have arrived. */
  firstBytes: number;
  /** What is reserved when the body turns out larger than that. */
  expectedBytes: number;
  limitBytes: number;
  rejectSlow: () => void;
}

/** The memory of one body. Nothing is reserved before its first bytes have arrived. */
export class BodyMemory {
  private held: Reservation | undefined;
  private leave: (() => void) | undefined;

  constructor(
    private readonly budget: ByteBudget,
    private readonly pace: MemoryPace,
    private readonly request: FastifyRequest,
    private readonly size: BodySize,
  ) {}

  /** Reserves memory for the bytes that have arrived, and more to come. @returns false if there is no room for them now */
  hold(arrivedBytes: number): boolean {
    const { held } = this;
    if (held !== undefined && arrivedBytes <= held.bytes) return true;
    if (held !== undefined && !held.isSmall) {
      // Doubled, because one reservation for each chunk would be thousands.
      const missing = arrivedBytes - held.bytes;
      const wanted = Math.max(missing, Math.min(held.bytes, this.size.limitBytes - held.bytes));
      return held.grow(wanted) || held.grow(missing);
    }
    held?.release();
    return this.use(this.budget.reserve(ownerOf(this.request), this.bytesFor(arrivedBytes)));
  }

  /** Waits for memory after `hold` returned false. A body that holds large memory already is rejected: it would block others. */
  wait(arrivedBytes: number, done: (isHeld: boolean) => void): void {
    if (this.held !== undefined) {
      done(false);
      return;
    }
    const bytes = this.bytesFor(arrivedBytes);
    this.leave = this.budget.wait(ownerOf(this.request), bytes, (memory) => {
      done(this.use(memory));
    });
  }

  /** Stops waiting, and releases all but `sizeBytes`. @returns the rest; undefined if none is held */
  end(sizeBytes: number): Reservation | undefined {
    this.leave?.();
    this.pace.unwatch(this.request);
    this.held?.shrinkTo(sizeBytes);
    return this.held;
  }

  private bytesFor(arrivedBytes: number): number {
    const { firstBytes, expectedBytes, limitBytes } = this.size;
    if (arrivedBytes <= firstBytes) return firstBytes;
    return Math.min(Math.max(2 * arrivedBytes, expectedBytes), Math.max(limitBytes, arrivedBytes));
  }

  private use(memory: Reservation | null): boolean {
    this.held = memory ?? undefined;
    if (memory === null) return false;
    const { raw } = this.request;
    this.pace.watch(
      this.request,
      memory,
      () => raw.socket.bytesRead,
      () => {
        // With a full buffer it is the server that is slow.
        if (raw.readableLength < raw.readableHighWaterMark) this.size.rejectSlow();
      },
    );
    return true;
  }
}

/** The size of a response that is counted; 0 for others. */
function countedBytes(payload: unknown): number {
  // No character has more than three bytes for each of its UTF-16 units.
  if (typeof payload !== 'string' || payload.length * 3 < COUNTED_RESPONSE_BYTES) return 0;
  const sizeBytes = Buffer.byteLength(payload);
  return sizeBytes < COUNTED_RESPONSE_BYTES ? 0 : sizeBytes;
}

function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) yield bytes.subarray(start, start + PIECE_BYTES);
}

export function outOfMemory(): Problem {
  return new Problem('unavailable', {
    detail: 'The memory for requests of this project is in use (MEMORY_BUDGET_BYTES); retry later.',
  });
}

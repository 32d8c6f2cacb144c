import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import type { ByteBudget, Reservation } from '#platform';
import { Problem } from './problems.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The bytes of the budget that the request holds; absent where it holds none. */
    memory?: Reservation;
  }
}

/** A body of unknown size begins with this much, and takes more as it arrives. */
const UNKNOWN_SIZE_BYTES = 64 * 1024;
/**
 * Measured batches decompress to 15 to 90 times their size. A body that turns out smaller gives the rest back when it has
 * arrived. One that turns out larger may find no room when it has nearly arrived: of 30 batches of 55 MB at once, six that
 * began with an estimate of 20 stopped one another halfway.
 */
const RATIO_ESTIMATE = 80;

/** Shorter responses are not counted: they fit into the buffers of a connection. */
const COUNTED_RESPONSE_LENGTH = 256 * 1024;

/** The bytes to reserve before a JSON body is read. @param declaredBytes Content-Length; NaN where there is none */
export function bytesBeforeReading(declaredBytes: number, isCompressed: boolean, limitBytes: number): number {
  if (Number.isNaN(declaredBytes)) return Math.min(UNKNOWN_SIZE_BYTES, limitBytes);
  return Math.min(isCompressed ? declaredBytes * RATIO_ESTIMATE : declaredBytes, limitBytes);
}

/** Calls back at once where the budget has room, without a promise; otherwise after a wait. */
export function reserveMemory(
  budget: ByteBudget,
  projectId: number | null,
  bytes: number,
  done: (memory: Reservation | null) => void,
): void {
  const memory = budget.reserve(projectId, bytes);
  if (memory !== null) done(memory);
  else void budget.acquire(projectId, bytes).then(done);
}

/**
 * Reserves the text of a large response, which is held until the client has read it. It does not wait, because the text is in
 * memory meanwhile.
 * @returns false where the budget has no room
 */
export function reserveForResponse(budget: ByteBudget, request: FastifyRequest, payload: unknown): boolean {
  if (typeof payload !== 'string' || payload.length < COUNTED_RESPONSE_LENGTH || request.memory !== undefined)
    return true;
  const projectId = request.principal?.projectId ?? null;
  // A page with the largest objects is a little longer than they are, and may have the share for itself.
  const memory = budget.reserve(projectId, Math.min(payload.length, budget.shareOf(projectId)));
  if (memory === null) return false;
  request.memory = memory;
  return true;
}

/** The memory of the responses that have not ended on a connection. */
const heldBySocket = new WeakMap<Socket, Set<Reservation>>();

/**
 * Releases the memory of a request when its response is closed. Call it when its handler has ended. A pipelined response that
 * has not begun when its connection breaks is never closed, so the connection is watched too, with one listener for all.
 */
export function releaseAfter({ socket }: IncomingMessage, response: ServerResponse, memory: Reservation): void {
  if (response.closed || socket.destroyed) {
    memory.release();
    return;
  }
  const held = heldBySocket.get(socket) ?? watchSocket(socket);
  held.add(memory);
  response.once('close', () => {
    held.delete(memory);
    memory.release();
  });
}

function watchSocket(socket: Socket): Set<Reservation> {
  const held = new Set<Reservation>();
  heldBySocket.set(socket, held);
  socket.once('close', () => {
    for (const memory of held) memory.release();
  });
  return held;
}

export function outOfMemory(): Problem {
  return new Problem('unavailable', {
    detail: 'The memory for requests of this project is in use (MEMORY_BUDGET_BYTES); retry later.',
  });
}

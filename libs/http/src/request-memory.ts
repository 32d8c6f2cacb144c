import type { ServerResponse } from 'node:http';
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
/** Measured batches decompress to 15 to 90 times their size. An estimate, so that few of them stop halfway. */
const RATIO_ESTIMATE = 20;

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

/** Releases the memory of a request after its handler has ended; call it then. The response holds memory until it is closed. */
export function releaseAfter(response: ServerResponse, memory: Reservation): void {
  if (response.closed) memory.release();
  else
    response.once('close', () => {
      memory.release();
    });
}

export function outOfMemory(): Problem {
  return new Problem('unavailable', {
    detail: 'The memory for requests of this project is in use (MEMORY_BUDGET_BYTES); retry later.',
  });
}

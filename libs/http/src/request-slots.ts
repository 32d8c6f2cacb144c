import { ClientGoneError, type Database, type Queryable, type ReadDatabase } from '#database';
import { EventLoopLoad, ProjectSlots, type Config, type SlotRejection } from '#platform';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { httpContextOf } from './http-context.js';
import { RequestStream } from './request-stream.js';
import { Problem } from './problems.js';
import { ReadQueries } from './read-queries.js';
import { isReadRequest } from './route.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Runs queries that end with the request; set for authenticated requests that only read. */
    queries: ReadQueries | null;
    /** Set for requests that have a slot. */
    admission: Admission | null;
    /** Frees the slot early, for a handler that waits for a limit of its own. */
    releaseSlot(): void;
  }
}

/** Operators have no project and share these slots; the ids of projects begin with 1. */
const OPERATORS = 0;
/** As long as a statement waits for a lock: the requests of a project may all wait for one. */
const WAIT_MS = 10_000;
const WAITING_PER_PROJECT = 1_000;
const WAITING_TOTAL = 4_000;
/**
 * Requests that take longer than this on average are slow: the processors limit them, not the number of their connections.
 * Reads of single objects and their writes take 1 to 20 ms, also on a busy server.
 */
const SLOW_MS = 50;
/** How often deadlines are checked. */
const DEADLINE_STEP_MS = 50;

/** The queries of the request, for a handler of a route that only reads. */
export const Queries = createParamDecorator((_: unknown, context: ExecutionContext): Queryable => {
  const { queries } = httpContextOf(context).request;
  if (queries === null) throw new Error('only authenticated requests that read have queries');
  return queries;
});

/**
 * Admits requests that use the database. Two thirds of the connections are for requests, at most half of these for one project
 * unless it is alone, and a sixth for one whose requests are slow, or that has most of the requests while the event loop is saturated;
 * projects that wait take turns. The rest is for streams, large batches that are being read, jobs and maintenance, which have limits of
 * their own. A streamed body takes no slot, because its client may be slow; a request that writes or reads a large batch gives its slot
 * back before it waits for one of those limits.
 *
 * The queries of a request that only reads are cancelled after QUERY_TIMEOUT_MS, and when its client leaves before the response. A request
 * whose client leaves while it waits is dropped. A write that has begun ends as if the client were there.
 */
export class RequestSlots {
  private readonly slots: ProjectSlots;
  private readonly total: number;
  /** The queries of the reads that have a slot. */
  private readonly reads = new Set<ReadQueries>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly database: Database,
    private readonly readDatabase: ReadDatabase,
    private readonly config: Config['database'],
    load: Pick<EventLoopLoad, 'isSaturated'> = new EventLoopLoad(),
  ) {
    const total = Math.max(2, Math.floor((config.sharedMax * 2) / 3));
    this.total = total;
    this.slots = new ProjectSlots({
      total,
      perProject: Math.floor(total / 2),
      // A project that is alone leaves two for the first requests of another one.
      alone: Math.max(Math.floor(total / 2), total - 2),
      contended: {
        slots: Math.max(1, Math.floor(total / 6)),
        averageMs: SLOW_MS,
        isSaturated: () => load.isSaturated,
      },
      waitMs: WAIT_MS,
      waitingPerProject: WAITING_PER_PROJECT,
      waitingTotal: WAITING_TOTAL,
    });
  }

  get state(): { used: number; total: number; waiting: number } {
    return { used: this.slots.usedSlots, total: this.total, waiting: this.slots.waitingCount };
  }

  /** Register it after the authentication, and before every hook that uses the database. */
  guard(fastify: FastifyInstance): void {
    fastify.decorateRequest('queries', null);
    fastify.decorateRequest('admission', null);
    const end = this.end.bind(this);
    fastify.decorateRequest('releaseSlot', function () {
      if (this.admission !== null) end(this.admission);
    });
    fastify.addHook('preHandler', (request, reply, done) => {
      if (request.principal === undefined || request.body instanceof RequestStream || sharesConnection(request)) done();
      else this.admit(request.principal.projectId ?? OPERATORS, request, reply, done);
    });
  }

  /** Frees the slot of a request when its response is produced. Register it after every hook that uses the database. */
  releaseOnSend(fastify: FastifyInstance): void {
    fastify.addHook('onSend', (request, _reply, _payload, done) => {
      request.releaseSlot();
      done();
    });
  }

  private admit(projectId: number, request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
    if (this.slots.tryTake(projectId)) {
      this.begin(projectId, request, reply);
      done();
      return;
    }
    const leaveQueue = this.slots.wait(
      projectId,
      () => {
        reply.raw.off('close', leave);
        this.begin(projectId, request, reply);
        done();
      },
      (reason) => {
        reply.raw.off('close', leave);
        done(busy(reason));
      },
    );
    const leave = (): void => {
      leaveQueue?.();
      // The response is not received; sending it releases the memory of the body.
      done(clientGone());
    };
    if (leaveQueue === null) return;
    if (reply.raw.closed) leave();
    else reply.raw.once('close', leave);
  }

  private begin(projectId: number, request: FastifyRequest, reply: FastifyReply): void {
    const admission = new Admission(projectId, isReadRequest(request) ? this.beginRead(request) : null);
    request.admission = admission;
    const onClose = (): void => {
      // A response that has begun was produced, or failed on the way.
      if (reply.raw.headersSent) this.end(admission);
      // Otherwise the handler still runs and uses its slot.
      else admission.queries?.cancel(clientGone());
    };
    // The client may have left during the authentication.
    if (reply.raw.closed) onClose();
    else reply.raw.once('close', onClose);
  }

  private beginRead(request: FastifyRequest): ReadQueries {
    const database = request.routeOptions.config.usesReplica === true ? this.readDatabase : this.database;
    const queries = new ReadQueries(database, this.config.queryTimeoutMs, request.span);
    request.queries = queries;
    this.reads.add(queries);
    this.timer ??= setInterval(() => {
      this.cancelLate();
    }, DEADLINE_STEP_MS).unref();
    return queries;
  }

  private end(admission: Admission): void {
    if (admission.hasEnded) return;
    admission.hasEnded = true;
    if (admission.queries !== null) this.reads.delete(admission.queries);
    this.slots.release(admission.projectId, performance.now() - admission.beganAtMs);
  }

  private cancelLate(): void {
    if (this.reads.size === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
      return;
    }
    const now = performance.now();
    for (const queries of this.reads) {
      if (queries.cancelLate(now)) this.reads.delete(queries);
    }
  }
}

function sharesConnection({ routeOptions, headers }: FastifyRequest): boolean {
  return (
    routeOptions.config.sharesWrites === true &&
    headers['idempotency-key'] === undefined &&
    headers.prefer === undefined
  );
}

/** A request that has a slot. */
class Admission {
  hasEnded = false;
  readonly beganAtMs = performance.now();

  /** @param queries null for a write */
  constructor(
    readonly projectId: number,
    readonly queries: ReadQueries | null,
  ) {}
}

function clientGone(): ClientGoneError {
  return new ClientGoneError('the client has closed the connection');
}

function busy(reason: SlotRejection): Problem {
  const detail =
    reason === 'timeout'
      ? `No database connection became free within ${String(WAIT_MS / 1000)} seconds; retry later.`
      : 'Too many requests wait for a database connection; retry later.';
  return new Problem('unavailable', { detail });
}

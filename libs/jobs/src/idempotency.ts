import { KeySecret } from '#access';
import { Problem } from '#http';
import { Sequence } from '#database';
import { Injectable } from '@nestjs/common';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fingerprintOf, headerOf, isBadHeader, scopeOf } from './idempotency-request.js';
import { Sealer, type KeptAnswer } from './idempotency-seal.js';
import { IdempotencyStore, type Claim } from './idempotency.store.js';
import type { Outcome, Receipt } from './operation.js';

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Set when the request has an Idempotency-Key. Who stores something calls it in the transaction that stores, last of
     * all; where nobody calls it, the answer is kept after it was made.
     */
    receipt?: Receipt;
  }
}

/** A claim runs out after three of these: so a server that died keeps nobody waiting for longer. */
const RENEW_EVERY_MS = 5_000;

/** An answer that was made does not wait longer for a database that hangs. */
const ANSWER_WAITS_MS = 5_000;

/** What of the headers belongs to the answer; the others are about this one message. */
const KEPT_HEADERS = ['content-type', 'location', 'etag', 'retry-after', 'preference-applied'];

interface Running extends Claim {
  /** The status of the answer that a receipt has written down. */
  notedStatus?: number;
}

/**
 * Idempotency-Key: the first answer to a POST is given again for 24 hours. Hooks of Fastify, because problems are answers
 * too. A request without the header costs a look at its headers and no more.
 */
@Injectable()
export class Idempotency {
  private readonly sealer: Sealer;
  private readonly claims = new WeakMap<FastifyRequest, Running>();
  private readonly running = new Set<Running>();
  private renewal: NodeJS.Timeout | undefined;

  constructor(
    private readonly store: IdempotencyStore,
    private readonly sequence: Sequence,
    secret: KeySecret,
  ) {
    this.sealer = new Sealer(secret.value);
  }

  /** Call it after the guard that says who asks. */
  guard(fastify: FastifyInstance): void {
    fastify.addHook('onRequest', (request, _reply, done) => {
      done(isBadHeader(request) ? refuseHeader('must be 1 to 255 visible ASCII characters, sent once') : undefined);
    });
    fastify.addHook('preHandler', (request, reply, done) => {
      if (headerOf(request) === undefined) done();
      else
        this.begin(request, reply).then((isAnswered) => {
          if (!isAnswered) done();
        }, done);
    });
    fastify.addHook('onSend', (request, reply, payload, done) => {
      const claim = this.claims.get(request);
      if (claim === undefined) done(null, payload);
      else
        void this.end(request, claim, reply, payload).then(() => {
          done(null, payload);
        });
    });
  }

  /** Claims the key and gives false, or answers from what is kept and gives true. @throws Problem */
  private async begin(request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
    const fingerprint = fingerprintOf(request, this.sealer);
    if (fingerprint === null) throw refuseHeader('does not go with a body that is a stream');
    const claim: Running = {
      projectId: request.principal?.projectId ?? 0,
      slot: this.sealer.slotOf(scopeOf(request)),
      fingerprint,
      claimId: this.sequence.next().toString(),
    };
    const found = await this.store.claim(claim);
    if (found === null) {
      this.start(request, claim);
      return false;
    }
    if (found === 'running') throw inProgress();
    if (found === 'another') throw reused();
    answerAgain(reply, found);
    return true;
  }

  private start(request: FastifyRequest, claim: Running): void {
    this.claims.set(request, claim);
    this.running.add(claim);
    this.renewal ??= setInterval(() => void this.renew(request.log), RENEW_EVERY_MS).unref();
    request.receipt = async (tx, outcome) => {
      // Taken over by another request while this one slept: its effect would be the second one.
      if (!(await this.store.keep(claim, answerOf(outcome), tx))) throw inProgress();
      claim.notedStatus = outcome.status;
    };
  }

  /** Keeps the answer, or gives the key back. Never fails: the client gets the answer that was made in any case. */
  private async end(request: FastifyRequest, claim: Running, reply: FastifyReply, payload: unknown): Promise<void> {
    this.claims.delete(request);
    // What a receipt has written down is what came of it, unless its transaction was rolled back.
    if (claim.notedStatus !== reply.statusCode) {
      const answer = keptAnswer(reply, payload);
      const work: Promise<unknown> = answer === null ? this.store.release(claim) : this.store.keepAlone(claim, answer);
      await within(ANSWER_WAITS_MS, work).catch((err: unknown) => {
        request.log.warn({ err }, 'the answer for an Idempotency-Key could not be kept');
      });
    }
    this.running.delete(claim);
  }

  /** One clock for all requests that run; it stops when there are none. */
  private async renew(log: FastifyBaseLogger): Promise<void> {
    if (this.running.size === 0) {
      clearInterval(this.renewal);
      this.renewal = undefined;
      return;
    }
    await this.store.renew([...this.running]).catch((err: unknown) => {
      log.warn({ err }, 'the claims of Idempotency-Keys could not be renewed');
    });
  }
}

/** Null for what another attempt may change, and for a stream, which is not worth its room. */
function keptAnswer(reply: FastifyReply, payload: unknown): KeptAnswer | null {
  const { statusCode: status } = reply;
  if (status >= 500 || status === 408 || status === 429) return null;
  const isText = typeof payload === 'string' || Buffer.isBuffer(payload);
  if (!isText && payload != null) return null;
  const given = KEPT_HEADERS.filter((name) => reply.hasHeader(name));
  const headers = Object.fromEntries(given.map((name) => [name, String(reply.getHeader(name))]));
  return { status, headers, body: Buffer.from(isText ? payload : '') };
}

function answerOf({ status, text, headers }: Outcome): KeptAnswer {
  const type = text === '' ? {} : { 'content-type': 'application/json; charset=utf-8' };
  return { status, headers: { ...type, ...headers }, body: Buffer.from(text) };
}

function answerAgain(reply: FastifyReply, { status, headers, body }: KeptAnswer): void {
  reply.code(status).headers(headers).header('Idempotency-Replayed', 'true');
  reply.send(body.length === 0 ? undefined : body);
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, ms, new Error(`no answer from the database in ${String(ms)} ms`));
  });
  return Promise.race([work, tooLate]).finally(() => {
    clearTimeout(timer);
  });
}

function refuseHeader(detail: string): Problem {
  const header = 'Idempotency-Key';
  return new Problem('invalid-header', { detail: `${header} ${detail}.`, errors: [{ header, detail }] });
}

function inProgress(): Problem {
  return new Problem('idempotency-in-progress', {
    detail: 'Another request with this Idempotency-Key runs; send it again to get its answer.',
    headers: { 'Retry-After': '1' },
  });
}

function reused(): Problem {
  const detail = 'came with another body, query, media type or Prefer before; use a new one';
  return new Problem('idempotency-key-reused', {
    detail: `This Idempotency-Key ${detail}.`,
    errors: [{ header: 'Idempotency-Key', detail }],
  });
}

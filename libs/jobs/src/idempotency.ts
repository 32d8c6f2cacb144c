import { KeySecret } from '#access';
import { Problem } from '#http';
import { Sequence } from '#database';
import { Injectable } from '@nestjs/common';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fingerprintOf, headerOf, isBadHeader, scopeOf } from './idempotency-request.js';
import { ResponseSealer, type StoredResponse } from './idempotency-seal.js';
import { IdempotencyStore, type Claim, type ClaimConflict, type KeyUse } from './idempotency.store.js';
import type { Receipt, WriteResponse } from './write-operation.js';

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Set when the request has an Idempotency-Key. An operation calls it in the transaction of its effect; where none does,
     * the response is stored after the operation.
     */
    receipt?: Receipt;
  }
}

/** A claim expires after three of these, so that the claim of a dead server blocks no longer. */
const RENEW_EVERY_MS = 5_000;

/** How long a response waits for a database that hangs. */
const STORE_TIMEOUT_MS = 5_000;

/** Headers that are part of the stored response; the others are about one message only. */
const STORED_HEADERS = ['content-type', 'location', 'etag', 'retry-after', 'preference-applied'];

interface RunningClaim extends Claim {
  /** Status of the response that the receipt has recorded. */
  recordedStatus?: number;
}

/**
 * Idempotency-Key: a POST with the key of an earlier one gets the first response again, for 24 hours. Implemented as hooks of
 * Fastify, because problems are responses too. A request without the header costs one header lookup.
 */
@Injectable()
export class Idempotency {
  private readonly sealer: ResponseSealer;
  /** Of previous secrets, with which responses of the last 24 hours may be stored. */
  private readonly previousSealers: readonly ResponseSealer[];
  private readonly claims = new WeakMap<FastifyRequest, RunningClaim>();
  private readonly running = new Set<RunningClaim>();
  private renewal: NodeJS.Timeout | undefined;

  constructor(
    private readonly store: IdempotencyStore,
    private readonly sequence: Sequence,
    secret: KeySecret,
  ) {
    this.sealer = new ResponseSealer(secret.value);
    this.previousSealers = secret.previous.map((previous) => new ResponseSealer(previous));
  }

  /** Register it after the guard, which sets the principal. */
  guard(fastify: FastifyInstance): void {
    fastify.addHook('onRequest', (request, _reply, done) => {
      done(isBadHeader(request) ? invalidHeader('must be 1 to 255 visible ASCII characters, sent once') : undefined);
    });
    fastify.addHook('preHandler', (request, reply, done) => {
      if (headerOf(request) === undefined) done();
      else
        this.begin(request, reply).then((isReplayed) => {
          if (!isReplayed) done();
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

  /** Claims the key and returns false, or sends the stored response and returns true. @throws Problem */
  private async begin(request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
    const use = await useOf(request, this.sealer);
    const claim: RunningClaim = { ...use, claimId: this.sequence.next().toString() };
    const found = (await this.findOfPreviousSecrets(request)) ?? (await this.store.claim(claim));
    if (found === null) {
      this.start(request, claim);
      return false;
    }
    if (found === 'running') throw inProgress();
    if (found === 'different_request') throw reused();
    sendStored(reply, found);
    return true;
  }

  private async findOfPreviousSecrets(request: FastifyRequest): Promise<ClaimConflict | null> {
    for (const sealer of this.previousSealers) {
      const found = await this.store.find(await useOf(request, sealer));
      if (found !== null) return found;
    }
    return null;
  }

  private start(request: FastifyRequest, claim: RunningClaim): void {
    this.claims.set(request, claim);
    this.running.add(claim);
    this.renewal ??= setInterval(() => void this.renew(request.log), RENEW_EVERY_MS).unref();
    request.receipt = async (tx, response) => {
      // Another request took the claim over while this one slept; a second effect must not be committed.
      if (!(await this.store.complete(claim, storedResponseOf(response), tx))) throw inProgress();
      claim.recordedStatus = response.status;
    };
  }

  /** Stores the response, or releases the key. Never fails: the client gets its response in any case. */
  private async end(
    request: FastifyRequest,
    claim: RunningClaim,
    reply: FastifyReply,
    payload: unknown,
  ): Promise<void> {
    this.claims.delete(request);
    // A receipt has recorded the response, unless its transaction was rolled back.
    if (claim.recordedStatus !== reply.statusCode) {
      const response = storableResponse(reply, payload);
      const work: Promise<unknown> =
        response === null ? this.store.release(claim) : this.store.completeAlone(claim, response);
      await within(STORE_TIMEOUT_MS, work).catch((err: unknown) => {
        request.log.warn({ err }, 'the response for an Idempotency-Key could not be stored');
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

/** @throws Problem invalid-header for a body that can be read only once */
async function useOf(request: FastifyRequest, sealer: ResponseSealer): Promise<KeyUse> {
  const fingerprint = await fingerprintOf(request, sealer);
  if (fingerprint === null) throw invalidHeader('cannot be used with a streamed body');
  return {
    projectId: request.principal?.projectId ?? 0,
    key: sealer.keyRecordOf(scopeOf(request)),
    fingerprint,
  };
}

/** Null for a response that another attempt may change, and for a stream, which would take too much space. */
function storableResponse(reply: FastifyReply, payload: unknown): StoredResponse | null {
  const { statusCode: status } = reply;
  if (status >= 500 || status === 408 || status === 429) return null;
  const isText = typeof payload === 'string' || Buffer.isBuffer(payload);
  if (!isText && payload != null) return null;
  const given = STORED_HEADERS.filter((name) => reply.hasHeader(name));
  const headers = Object.fromEntries(given.map((name) => [name, String(reply.getHeader(name))]));
  return { status, headers, body: Buffer.from(isText ? payload : '') };
}

function storedResponseOf({ status, text, headers }: WriteResponse): StoredResponse {
  const type = text === '' ? {} : { 'content-type': 'application/json; charset=utf-8' };
  return { status, headers: { ...type, ...headers }, body: Buffer.from(text) };
}

function sendStored(reply: FastifyReply, { status, headers, body }: StoredResponse): void {
  reply.code(status).headers(headers).header('Idempotency-Replayed', 'true');
  reply.send(body.length === 0 ? undefined : body);
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, ms, new Error(`no response from the database within ${String(ms)} ms`));
  });
  return Promise.race([work, timeout]).finally(() => {
    clearTimeout(timer);
  });
}

function invalidHeader(detail: string): Problem {
  const header = 'Idempotency-Key';
  return new Problem('invalid-header', { detail: `${header} ${detail}.`, errors: [{ header, detail }] });
}

function inProgress(): Problem {
  return new Problem('idempotency-in-progress', {
    detail: 'A request with this Idempotency-Key is in progress; retry to get its response.',
    headers: { 'Retry-After': '1' },
  });
}

function reused(): Problem {
  const detail = 'was used before with another body, query, media type or Prefer; use a new key';
  return new Problem('idempotency-key-reused', {
    detail: `Idempotency-Key ${detail}.`,
    errors: [{ header: 'Idempotency-Key', detail }],
  });
}

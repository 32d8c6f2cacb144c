import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { seal, unseal, type KeptAnswer, type Slot } from './idempotency-seal.js';

/** What one request holds while it runs: nobody else takes the same Idempotency-Key. */
export interface Claim {
  /** 0 for an operator's. */
  projectId: number;
  slot: Slot;
  fingerprint: Buffer;
  /** Tells this request from every other that ever had the same key. */
  claimId: string;
}

/** What is in the way of a claim: the same request that runs, another request, or the answer. */
export type Found = 'running' | 'another' | KeptAnswer;

/**
 * Takes a place that is free, has expired, or was left by a server that died: one round trip, and no row when it is taken.
 * All times are the database's, so that the clocks of several servers do not matter. Its own claim it takes again: the first
 * answer may have been lost with the connection.
 */
const CLAIM = {
  name: 'idempotency.claim',
  text: `
    INSERT INTO idempotency_keys AS k
      (project_id, key_hash, fingerprint, claim_id, claimed_at, claimed_until, expires_at)
    VALUES ($1, $2, $3, $4, now(), now() + interval '15 seconds', now() + interval '24 hours')
    ON CONFLICT (project_id, key_hash) DO UPDATE SET fingerprint = excluded.fingerprint, claim_id = excluded.claim_id,
      claimed_at = excluded.claimed_at, claimed_until = excluded.claimed_until, expires_at = excluded.expires_at,
      status = excluded.status, answer = excluded.answer
    WHERE k.expires_at <= excluded.claimed_at OR k.claim_id = excluded.claim_id
      OR (k.status IS NULL AND k.claimed_until <= excluded.claimed_at AND k.fingerprint = excluded.fingerprint)
    RETURNING claim_id`,
};

const FIND = {
  name: 'idempotency.find',
  text: `
    SELECT fingerprint, status, answer FROM idempotency_keys
    WHERE project_id = $1 AND key_hash = $2 AND expires_at > now()`,
};

const OURS = 'project_id = $1 AND key_hash = $2 AND claim_id = $3 AND status IS NULL';

const KEEP = {
  name: 'idempotency.keep',
  text: `UPDATE idempotency_keys SET status = $4, answer = $5 WHERE ${OURS} RETURNING status`,
};

const RELEASE = { name: 'idempotency.release', text: `DELETE FROM idempotency_keys WHERE ${OURS}` };

const RENEW = {
  name: 'idempotency.renew',
  text: `
    UPDATE idempotency_keys SET claimed_until = now() + interval '15 seconds'
    WHERE project_id = $1 AND key_hash = ANY($2::bytea[]) AND claim_id = ANY($3::bigint[]) AND status IS NULL`,
};

/** A place that is freed or expires between two looks at it is looked at again, so often. */
const LOOKS = 3;

@Injectable()
export class IdempotencyStore {
  constructor(private readonly database: Database) {}

  /** Takes the place of the claim, or tells who has it; null when it is ours. */
  async claim({ projectId, slot, fingerprint, claimId }: Claim): Promise<Found | null> {
    for (let look = 0; look < LOOKS; look++) {
      const taken = await this.database.retrying(() =>
        this.database.query(CLAIM, [projectId, slot.hash, fingerprint, claimId]),
      );
      if (taken.length > 0) return null;
      const [row] = await this.database.query<{ fingerprint: Buffer; status: number | null; answer: Buffer }>(FIND, [
        projectId,
        slot.hash,
      ]);
      if (row === undefined) continue;
      if (!row.fingerprint.equals(fingerprint)) return 'another';
      return row.status === null ? 'running' : { status: row.status, ...unseal(row.answer, slot) };
    }
    return 'running';
  }

  /** Ends a claim with its answer; false when it was ended before, or another request has taken it over. */
  async keep({ projectId, slot, claimId }: Claim, answer: KeptAnswer, tx: Queryable): Promise<boolean> {
    const sealed = seal(answer, slot);
    return (await tx.query(KEEP, [projectId, slot.hash, claimId, answer.status, sealed])).length > 0;
  }

  /** The same after the effect, for what has no transaction to share. */
  keepAlone(claim: Claim, answer: KeptAnswer): Promise<boolean> {
    return this.database.retrying(() => this.keep(claim, answer, this.database));
  }

  /** Ends a claim without an answer, as if it had never been; one that has its answer stays. */
  async release({ projectId, slot, claimId }: Claim): Promise<void> {
    await this.database.query(RELEASE, [projectId, slot.hash, claimId]);
  }

  /** Keeps claims from running out while their requests run. */
  async renew(claims: readonly Claim[]): Promise<void> {
    for (const project of new Set(claims.map(({ projectId }) => projectId))) {
      const own = claims.filter(({ projectId }) => projectId === project);
      const hashes = own.map(({ slot }) => slot.hash);
      const claimIds = own.map(({ claimId }) => claimId);
      await this.database.query(RENEW, [project, hashes, claimIds]);
    }
  }
}

import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { seal, unseal, type KeyRecord, type StoredResponse } from './idempotency-seal.js';

/** One use of an Idempotency-Key. */
export interface KeyUse {
  /** 0 for an operator. */
  projectId: number;
  key: KeyRecord;
  fingerprint: Buffer;
}

/** The lease that a running request has on its Idempotency-Key. */
export interface Claim extends KeyUse {
  /** Unique among all requests with the same key. */
  claimId: string;
}

/** Why a key cannot be claimed: the request is running, a different request has used the key, or the response is stored. */
export type ClaimConflict = 'running' | 'different_request' | StoredResponse;

/**
 * Claims a key that is free, has expired, or is held by a dead server, in one round trip; no row where it is in use. All times
 * are the database's, so the clocks of servers do not matter. A request can repeat its own claim, because the connection may
 * break before the first acknowledgement.
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

/** The same without the claim of a dead server, which another record replaces. */
const FIND_LIVE = {
  name: 'idempotency.find-live',
  text: `${FIND.text} AND (status IS NOT NULL OR claimed_until > now())`,
};

const OPEN_CLAIM = 'project_id = $1 AND key_hash = $2 AND claim_id = $3 AND status IS NULL';

const COMPLETE = {
  name: 'idempotency.complete',
  text: `UPDATE idempotency_keys SET status = $4, answer = $5 WHERE ${OPEN_CLAIM} RETURNING status`,
};

const RELEASE = { name: 'idempotency.release', text: `DELETE FROM idempotency_keys WHERE ${OPEN_CLAIM}` };

const RENEW = {
  name: 'idempotency.renew',
  text: `
    UPDATE idempotency_keys SET claimed_until = now() + interval '15 seconds'
    WHERE project_id = $1 AND key_hash = ANY($2::bytea[]) AND claim_id = ANY($3::bigint[]) AND status IS NULL`,
};

/** Attempts where the key is released or expires between CLAIM and FIND. */
const CLAIM_ATTEMPTS = 3;

@Injectable()
export class IdempotencyStore {
  constructor(private readonly database: Database) {}

  /** Null when the key is claimed. */
  async claim({ projectId, key, fingerprint, claimId }: Claim): Promise<ClaimConflict | null> {
    for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
      const taken = await this.database.retrying(() =>
        this.database.query(CLAIM, [projectId, key.hash, fingerprint, claimId]),
      );
      if (taken.length > 0) return null;
      const [row] = await this.database.query<StoredClaim>(FIND, [projectId, key.hash]);
      if (row !== undefined) return conflictOf(row, { key, fingerprint });
    }
    return 'running';
  }

  /** Returns the earlier use of a key, without claiming it; null for none. */
  async find({ projectId, key, fingerprint }: KeyUse): Promise<ClaimConflict | null> {
    const [row] = await this.database.query<StoredClaim>(FIND_LIVE, [projectId, key.hash]);
    return row === undefined ? null : conflictOf(row, { key, fingerprint });
  }

  /** Stores the response of a claim; false where the claim has ended or another request has taken it over. */
  async complete({ projectId, key, claimId }: Claim, response: StoredResponse, tx: Queryable): Promise<boolean> {
    const sealed = seal(response, key);
    return (await tx.query(COMPLETE, [projectId, key.hash, claimId, response.status, sealed])).length > 0;
  }

  /** The same outside the transaction of the effect. */
  completeAlone(claim: Claim, response: StoredResponse): Promise<boolean> {
    return this.database.retrying(() => this.complete(claim, response, this.database));
  }

  /** Releases a claim without a response; one with a response stays. */
  async release({ projectId, key, claimId }: Claim): Promise<void> {
    await this.database.query(RELEASE, [projectId, key.hash, claimId]);
  }

  /** Extends the claims of running requests. */
  async renew(claims: readonly Claim[]): Promise<void> {
    for (const project of new Set(claims.map(({ projectId }) => projectId))) {
      const own = claims.filter(({ projectId }) => projectId === project);
      const hashes = own.map(({ key }) => key.hash);
      const claimIds = own.map(({ claimId }) => claimId);
      await this.database.query(RENEW, [project, hashes, claimIds]);
    }
  }
}

interface StoredClaim {
  fingerprint: Buffer;
  /** null while the request is running. */
  status: number | null;
  answer: Buffer;
}

function conflictOf(stored: StoredClaim, { key, fingerprint }: Pick<KeyUse, 'key' | 'fingerprint'>): ClaimConflict {
  if (!stored.fingerprint.equals(fingerprint)) return 'different_request';
  return stored.status === null ? 'running' : { status: stored.status, ...unseal(stored.answer, key) };
}

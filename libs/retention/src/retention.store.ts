import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import type { FoundObject } from './retention-failures.js';

/** The first key of the advisory locks of retention; the second one is the project. An arbitrary number. */
const RETENTION_LOCK = 71_028;

/** The most objects that one transaction deletes: about 100 ms, in which their batches are locked. */
export const STEP_OBJECTS = 1_000;

/** A project with a retention. */
export interface RetainedProject {
  projectId: number;
  /** Objects that were observed before this time are deleted; RFC 3339. */
  before: string;
}

/** Where a step ended: the next one continues there, and does not read the index entries of deleted objects again. */
export interface Position {
  observedAt: string;
  seq: string;
}

const START: Position = { observedAt: '-infinity', seq: '0' };

const WITH_RETENTION = {
  name: 'retention.projects',
  text: `
    SELECT project_id, now() - make_interval(days => retention_days) AS before FROM projects
    WHERE retention_days IS NOT NULL ORDER BY project_id`,
};

/** The retention may have been changed after the step before. */
const IS_EXPIRED = {
  name: 'retention.is-expired',
  text: `
    SELECT FROM projects
    WHERE project_id = $1 AND $2::timestamptz <= now() - make_interval(days => retention_days)`,
};

/** One process at a time deletes objects of a project. */
const TRY_LOCK = {
  name: 'retention.try-lock',
  text: `SELECT pg_try_advisory_xact_lock(${String(RETENTION_LOCK)}, $1) AS is_locked`,
};

const FIND = {
  name: 'retention.find',
  text: `
    SELECT o.seq, o.object_id, o.observed_at FROM objects AS o
    WHERE o.project_id = $1 AND o.observed_at < $2::timestamptz
      AND (o.observed_at, o.seq) > ($3::timestamptz, $4::bigint) AND o.seq <> ALL ($6::bigint[])
    ORDER BY o.observed_at, o.seq LIMIT $5`,
};

/** A batch that someone writes to is left to the next run: a stream may last for hours. */
const LOCK_BATCHES = {
  name: 'retention.lock-batches',
  text: `
    WITH locked AS MATERIALIZED (
      SELECT b.batch_id FROM batches AS b
      WHERE b.project_id = $1 AND b.batch_id IN (
        SELECT o.batch_id FROM objects AS o WHERE o.project_id = $1 AND o.seq = ANY ($2::bigint[]))
      ORDER BY b.batch_id FOR UPDATE SKIP LOCKED
    )
    SELECT o.seq FROM objects AS o
    WHERE o.project_id = $1 AND o.seq = ANY ($2::bigint[]) AND o.batch_id IN (SELECT batch_id FROM locked)`,
};

/** Finds old objects. */
@Injectable()
export class RetentionStore {
  constructor(private readonly database: Database) {}

  async listProjects(): Promise<RetainedProject[]> {
    const rows = await this.database.query<{ project_id: number; before: string }>(WITH_RETENTION);
    return rows.map(({ project_id: projectId, before }) => ({ projectId, before }));
  }

  /** Keeps other processes from deleting old objects of the project until the transaction ends. */
  async tryLock(tx: Queryable, projectId: number): Promise<boolean> {
    const [row] = await tx.query<{ is_locked: boolean }>(TRY_LOCK, [projectId]);
    return row?.is_locked === true;
  }

  /** Whether objects from before this time are still to be deleted. */
  async isExpired(tx: Queryable, { projectId, before }: RetainedProject): Promise<boolean> {
    return (await tx.query(IS_EXPIRED, [projectId, before])).length > 0;
  }

  /** The oldest objects after a position, at most `limit`. @param without the sequence numbers of objects that are left out */
  find(
    on: Queryable,
    { projectId, before }: RetainedProject,
    limit: number,
    { from = START, without }: { from?: Position | undefined; without: readonly string[] },
  ): Promise<(FoundObject & { observed_at: string })[]> {
    return on.query(FIND, [projectId, before, from.observedAt, from.seq, limit, without]);
  }

  /** Locks the batches of objects. @returns the objects whose batches are locked now */
  async lockBatchesOf(tx: Queryable, projectId: number, seqs: readonly string[]): Promise<string[]> {
    return (await tx.query<{ seq: string }>(LOCK_BATCHES, [projectId, seqs])).map(({ seq }) => seq);
  }
}

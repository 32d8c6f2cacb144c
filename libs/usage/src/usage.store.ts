import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import type { ProjectRequestsEntity } from './project-requests.entity.js';
import type { ProjectUsageEntity } from './project-usage.entity.js';
import { isShareUsedUp, QuotaStore, type UsageChange, type UsageLimits } from './quota.store.js';
import { ADD_USAGE, ADD_USAGE_UNLIMITED } from './usage-sql.js';

export const NO_CHANGE: UsageChange = { objects: 0, bytes: 0 };

/** What a project stores and how many requests it sent. */
export interface Usage extends UsageChange {
  requests: number;
  limits: UsageLimits;
}

const ADD = { name: 'usage.add', text: ADD_USAGE };

const ADD_UNLIMITED = { name: 'usage.add-unlimited', text: ADD_USAGE_UNLIMITED };

/** A row of any connection. */
const SUBTRACT_DELETED = {
  name: 'usage.subtract-deleted',
  text: `
    UPDATE project_usage SET deleted_bytes = deleted_bytes - $2::bigint
    WHERE project_id = $1 AND shard = (SELECT min(shard) FROM project_usage WHERE project_id = $1)`,
};

/** The tables of data apart from that of projects, which is on another machine where they are distributed. */
const FIND = {
  name: 'usage.find',
  text: `
    WITH u AS MATERIALIZED (SELECT sum(objects) AS objects, sum(bytes) AS bytes FROM project_usage WHERE project_id = $1),
      r AS MATERIALIZED (SELECT sum(requests) AS requests FROM project_requests WHERE project_id = $1)
    SELECT coalesce(u.objects, 0) AS objects, coalesce(u.bytes, 0) AS bytes, coalesce(r.requests, 0) AS requests,
      p.objects_max, p.bytes_max
    FROM projects AS p, u, r WHERE p.project_id = $1`,
};

/** The exact usage, because writers wait for these locks, or have none of these rows and wait for the lock of the project. */
const DELETE_OF_PROJECT = `
  WITH deleted AS (DELETE FROM project_usage WHERE project_id = $1 RETURNING objects, bytes)
  SELECT coalesce(sum(objects), 0) AS objects, coalesce(sum(bytes), 0) AS bytes FROM deleted`;

/** Sorted, so that the statements of two processes never deadlock. Not for projects that were deleted meanwhile. */
const ADD_REQUESTS = {
  name: 'usage.add-requests',
  text: `
    INSERT INTO project_requests AS r (project_id, requests)
    SELECT project_id, c.requests FROM unnest($1::int[], $2::bigint[]) AS c (project_id, requests)
    JOIN projects USING (project_id)
    ORDER BY project_id
    ON CONFLICT (project_id) DO UPDATE SET requests = r.requests + excluded.requests`,
};

/** The tables of usage. */
@Injectable()
export class UsageStore {
  constructor(
    private readonly quotas: QuotaStore,
    private readonly database: Database,
  ) {}

  /**
   * Adds a change to the usage of the project, in the transaction that makes the change. It comes after every other statement
   * that may wait for a lock, apart from the receipt and the audit log: transactions that take these locks in one order never
   * deadlock, and a busy project waits for the row no longer than necessary.
   * @throws Problem quota-exceeded
   */
  async add(tx: Queryable, projectId: number, { objects, bytes }: UsageChange): Promise<void> {
    if (objects === 0 && bytes === 0) return;
    const isMore = objects > 0 || bytes > 0;
    if (isMore) await tx.query('SAVEPOINT usage');
    try {
      await tx.query(ADD, [projectId, objects, bytes]);
    } catch (error) {
      if (!isMore || !isShareUsedUp(error)) throw error;
      // It also gives up the lock of the row, so that all rows can be locked in order.
      await tx.query('ROLLBACK TO SAVEPOINT usage');
      await this.quotas.addExactly(tx, projectId, { objects, bytes });
    }
  }

  /** Adds a change that no client has asked for, also beyond the limits. */
  async addUnlimited(tx: Queryable, projectId: number, change: UsageChange): Promise<void> {
    await tx.query(ADD_UNLIMITED, [projectId, change.objects, change.bytes]);
  }

  /** Subtracts the space of deleted objects that were restored, or deleted for good; after every other statement, as `add`. */
  async subtractDeleted(tx: Queryable, projectId: number, bytes: number): Promise<void> {
    if (bytes !== 0) await tx.query(SUBTRACT_DELETED, [projectId, bytes]);
  }

  /** Null for a project that does not exist. */
  async find(projectId: number, on: Queryable = this.database): Promise<Usage | null> {
    const [row] = await on.query<UsageRow>(FIND, [projectId]);
    if (row === undefined) return null;
    return {
      objects: Number(row.objects),
      bytes: Number(row.bytes),
      requests: Number(row.requests),
      limits: this.quotas.limitsOf(row.objects_max, row.bytes_max),
    };
  }

  /**
   * Deletes the usage of a project that is locked. Later writes of the project fail when they add to its usage, because its row
   * in `projects` is deleted in the same transaction.
   * @returns what the project stores
   */
  async deleteOfProject(tx: Queryable, projectId: number): Promise<UsageChange> {
    const [row] = await tx.query<Pick<ProjectUsageEntity, 'objects' | 'bytes'>>(DELETE_OF_PROJECT, [projectId]);
    return { objects: Number(row?.objects), bytes: Number(row?.bytes) };
  }

  /** Adds to the numbers of requests, by project. */
  async addRequests(counts: ReadonlyMap<number, number>): Promise<void> {
    await this.database.query(ADD_REQUESTS, [[...counts.keys()], [...counts.values()]]);
  }
}

interface UsageRow extends Pick<ProjectUsageEntity, 'objects' | 'bytes'>, Pick<ProjectRequestsEntity, 'requests'> {
  objects_max: string | null;
  bytes_max: string | null;
}

import { Database, errorCode, type Queryable } from '#database';
import { Problem, PROJECT_DELETED } from '#http';
import { Config, describeError } from '#platform';
import { Injectable, Logger } from '@nestjs/common';
import type { ProjectUsageEntity } from './project-usage.entity.js';
import { RecentProjects } from './recent-projects.js';
import { SHARD, USAGE_SHARDS } from './usage-sql.js';

/** A change of what a project stores; negative where it becomes less. */
export interface UsageChange {
  objects: number;
  /** The sizes of the objects' data, in bytes. */
  bytes: number;
}

/** The largest number of objects and sum of their bytes; null for no limit. */
export interface UsageLimits {
  objects: number | null;
  bytes: number | null;
}

/** The room of a project without limits. */
export const UNLIMITED: Readonly<UsageChange> = { objects: Infinity, bytes: Infinity };

/** Staged without a comparison with the limits of the project, so that a small write needs no further query. */
export const STAGED_UNCHECKED: Readonly<UsageChange> = { objects: 20_000, bytes: 64 * 1024 * 1024 };

/** $2 and $3: the limits of projects without their own. */
const LIMITS = `
  SELECT coalesce(objects_max, $2::bigint) AS objects, coalesce(bytes_max, $3::bigint) AS bytes
  FROM projects WHERE project_id = $1`;

/** In the order of their shards, so that two transactions never deadlock. */
const LOCK = `SELECT objects, bytes FROM project_usage WHERE project_id = $1 ORDER BY shard FOR UPDATE`;

/**
 * Adds $2 objects and $3 bytes to the row of this connection. Then each row may use $4 more objects and $5 more bytes. CASE contains no
 * function, as a cluster requires.
 */
const DISTRIBUTE = `
  UPDATE project_usage AS u SET
    objects = u.objects + a.objects, objects_share = u.objects + a.objects + $4::bigint,
    bytes = u.bytes + a.bytes, bytes_share = u.bytes + a.bytes + $5::bigint
  FROM (
    SELECT shard, CASE shard WHEN own THEN $2::bigint ELSE 0 END AS objects,
      CASE shard WHEN own THEN $3::bigint ELSE 0 END AS bytes
    FROM generate_series(0, ${String(USAGE_SHARDS - 1)}) AS shard, (SELECT ${SHARD} AS own) AS connection
  ) AS a
  WHERE u.project_id = $1 AND u.shard = a.shard`;

const TOTALS = `
  SELECT coalesce(sum(objects), 0) AS objects, coalesce(sum(bytes), 0) AS bytes FROM project_usage WHERE project_id = $1`;

/**
 * The statements that apply the limits of the projects $1, in this order. The first one makes changes of limits wait for each
 * other, so that the last of them distributes the limits that are stored. The locks are taken in order, so that they never deadlock.
 */
const LOCK_PROJECTS = `SELECT FROM projects WHERE project_id = ANY ($1::int[]) ORDER BY project_id FOR NO KEY UPDATE`;

const LIMITS_OF = `
  SELECT project_id, coalesce(objects_max, $2::bigint) AS objects, coalesce(bytes_max, $3::bigint) AS bytes
  FROM projects WHERE project_id = ANY ($1::int[])`;

const CREATE_ROWS = `
  INSERT INTO project_usage (project_id, shard, objects, bytes)
  SELECT l.project_id, shard, 0, 0 FROM (${LIMITS_OF}) AS l, generate_series(0, ${String(USAGE_SHARDS - 1)}) AS shard
  WHERE l.objects IS NOT NULL OR l.bytes IS NOT NULL
  ORDER BY l.project_id, shard ON CONFLICT DO NOTHING`;

const LOCK_ROWS = `
  SELECT FROM project_usage WHERE project_id = ANY ($1::int[]) ORDER BY project_id, shard FOR UPDATE`;

/** The part of a limit that each row may still use; null without a limit. */
const freeSql = (limit: string, used: string): string =>
  `CASE WHEN ${limit} IS NOT NULL THEN div(greatest(${limit} - ${used}, 0), ${String(USAGE_SHARDS)}) END`;

const APPLY = `
  UPDATE project_usage AS u SET objects_share = u.objects + f.objects, bytes_share = u.bytes + f.bytes
  FROM (
    SELECT l.project_id, ${freeSql('l.objects', 'sum(r.objects)')} AS objects, ${freeSql('l.bytes', 'sum(r.bytes)')} AS bytes
    FROM (${LIMITS_OF}) AS l JOIN project_usage AS r USING (project_id)
    GROUP BY l.project_id, l.objects, l.bytes
  ) AS f
  WHERE u.project_id = f.project_id`;

/** How long a project counts as near its limit after a write was rejected. It decides how its writes are stored, not whether. */
const NEAR_MS = 1_000;
/** How long `requireAnyRoom` remembers that a project has no limits. */
const UNLIMITED_MS = 60_000;

/** Projects whose limits are applied in one transaction. */
const PROJECTS_PER_TRANSACTION = 200;

/**
 * Projects without a limit of their own whose shares are not of the default limits $1 and $2. Shares of a limit that does not
 * exist any more are no error: a write that needs more finds that there is none.
 */
const OUTDATED = `
  WITH shares AS MATERIALIZED (
    SELECT project_id, count(objects_share) AS objects, sum(objects_share) AS objects_sum,
      count(bytes_share) AS bytes, sum(bytes_share) AS bytes_sum
    FROM project_usage GROUP BY project_id
  )
  SELECT p.project_id FROM projects AS p LEFT JOIN shares AS s USING (project_id)
  WHERE ($1::bigint IS NOT NULL AND p.objects_max IS NULL AND (coalesce(s.objects, 0) = 0 OR s.objects_sum > $1))
    OR ($2::bigint IS NOT NULL AND p.bytes_max IS NULL AND (coalesce(s.bytes, 0) = 0 OR s.bytes_sum > $2))`;

/**
 * The limits of projects. The part of a limit that is not used is divided among the rows of the project's usage, as their
 * shares, so that a write far from the limit changes one row and reads no other. A write that needs more than the share of its
 * row locks all rows, which is exact, and divides the rest anew. See docs/decisions/021.
 */
@Injectable()
export class QuotaStore {
  private readonly log = new Logger('usage');
  /** Protected for tests that stop its clock. */
  protected readonly nearLimit = new RecentProjects(NEAR_MS);
  private readonly unlimited = new RecentProjects(UNLIMITED_MS);
  /** The limits of projects without their own. */
  private readonly defaults: readonly [objects: number | null, bytes: number | null];

  constructor(
    private readonly database: Database,
    { limits }: Config,
  ) {
    // 0 is the setting for no limit.
    this.defaults = [limits.projectObjectsMax || null, limits.projectBytesMax || null];
  }

  /** The limits that apply to a project. */
  limitsOf(objectsMax: string | null, bytesMax: string | null): UsageLimits {
    const [objects, bytes] = this.defaults;
    return { objects: toNumber(objectsMax) ?? objects, bytes: toNumber(bytesMax) ?? bytes };
  }

  /**
   * Adds a change that the share of one row has no room for, to the usage of the project.
   * @throws Problem quota-exceeded
   */
  async addExactly(tx: Queryable, projectId: number, change: UsageChange): Promise<void> {
    const used = totalOf(await tx.query<Row>(LOCK, [projectId]));
    // After the locks, so that limits that were changed while this waited for them apply.
    const limits = await this.findLimits(tx, projectId);
    this.requireRoomIn(projectId, limits, used, change);
    await this.distribute(tx, projectId, limits, used, change);
  }

  /**
   * Whether a write of the project was rejected in the last second. A statement of its own would then probably fail and be
   * repeated in a transaction, so a write starts with a transaction that calls `requireRoom` before it adds objects.
   */
  isNearLimit(projectId: number): boolean {
    return this.nearLimit.has(projectId);
  }

  /**
   * Rejects a request that adds at least one object later, as a job, where the project has no room now. That a project has no
   * limits is remembered for a minute, so that its requests need no further query; until then a job may find a new limit.
   * @throws Problem quota-exceeded
   */
  async requireAnyRoom(projectId: number): Promise<void> {
    if (this.unlimited.has(projectId)) return;
    const room = await this.requireRoom(this.database, projectId, { objects: 1, bytes: 1 });
    if (room === UNLIMITED) this.unlimited.add(projectId);
  }

  /**
   * Rejects a write that adds more than the project has room for, before it is sent to the database. Only `addExactly` is exact
   * while other transactions write.
   * @returns what may be added at this time; Infinity without a limit
   * @throws Problem quota-exceeded
   */
  async requireRoom(tx: Queryable, projectId: number, added: UsageChange): Promise<UsageChange> {
    const limits = await this.findLimits(tx, projectId);
    if (isUnlimited(limits)) return UNLIMITED;
    const used = totalOf(await tx.query<Row>(TOTALS, [projectId]));
    this.requireRoomIn(projectId, limits, used, added);
    return forEachQuota((quota) => (limits[quota] ?? Infinity) - used[quota]);
  }

  /**
   * Rejects objects that exceed the limit of the project also where they replace all that it stores, before more of them are
   * sent to the database.
   * @returns the largest total that is possible at this time; Infinity without a limit
   * @throws Problem quota-exceeded
   */
  async requireTotal(tx: Queryable, projectId: number, total: UsageChange): Promise<UsageChange> {
    const limits = await this.findLimits(tx, projectId);
    if (isUnlimited(limits)) return UNLIMITED;
    const used = totalOf(await tx.query<Row>(TOTALS, [projectId]));
    const leastAdded = forEachQuota((quota) => total[quota] - used[quota]);
    this.requireRoomIn(projectId, limits, used, leastAdded);
    // What is stored may be replaced, also over the limit.
    return forEachQuota((quota) => Math.max(limits[quota] ?? Infinity, used[quota]));
  }

  /** Applies the current limits of projects to their usage; call it in the transaction that changes them. */
  async apply(tx: Queryable, ...projectIds: number[]): Promise<void> {
    for (const projectId of projectIds) {
      this.nearLimit.delete(projectId);
      this.unlimited.delete(projectId);
    }
    await tx.query(LOCK_PROJECTS, [projectIds]);
    const values = [projectIds, ...this.defaults];
    await tx.query(CREATE_ROWS, values);
    // A cluster locks rows of one project only.
    if (projectIds.length === 1) await tx.query(LOCK, projectIds);
    else await tx.query(LOCK_ROWS, [projectIds]);
    await tx.query(APPLY, values);
  }

  /**
   * Applies PROJECT_OBJECTS_MAX and PROJECT_BYTES_MAX, which may have changed since the last start. A project whose limits cannot
   * be applied, for example because its rows are locked for long, keeps its former ones until the next start.
   */
  async applyDefaults(): Promise<void> {
    if (this.defaults.every((limit) => limit === null)) return;
    const rows = await this.database.query<{ project_id: number }>(OUTDATED, this.defaults);
    const projectIds = rows.map((row) => row.project_id);
    // A cluster locks rows of one shard only.
    const count = this.database.isDistributed ? 1 : PROJECTS_PER_TRANSACTION;
    for (let start = 0; start < projectIds.length; start += count) {
      await this.applyTo(projectIds.slice(start, start + count));
    }
  }

  /** Never fails: without the project that prevents it, the others of its transaction get their limits. */
  private async applyTo(projectIds: readonly number[]): Promise<void> {
    try {
      await this.database.transaction((tx) => this.apply(tx, ...projectIds));
    } catch (error) {
      if (projectIds.length > 1) for (const projectId of projectIds) await this.applyTo([projectId]);
      else
        this.log.error(`the limits of project ${String(projectIds[0])} could not be applied: ${describeError(error)}`);
    }
  }

  /** What becomes less is never rejected, also where it is more than the limit. @throws QuotaExceeded */
  private requireRoomIn(projectId: number, limits: UsageLimits, used: UsageChange, change: UsageChange): void {
    for (const quota of ['objects', 'bytes'] as const) {
      const limit = limits[quota];
      const added = change[quota];
      if (limit === null || added <= 0 || used[quota] + added <= limit) continue;
      this.nearLimit.add(projectId);
      throw new QuotaExceeded({ quota, limit, used: used[quota], added });
    }
  }

  private async findLimits(tx: Queryable, projectId: number): Promise<UsageLimits> {
    const values = [projectId, ...this.defaults];
    const [row] = await tx.query<{ objects: string | null; bytes: string | null }>(LIMITS, values);
    if (row === undefined) throw new Problem('not-found', { detail: PROJECT_DELETED });
    return { objects: toNumber(row.objects), bytes: toNumber(row.bytes) };
  }

  private async distribute(
    tx: Queryable,
    projectId: number,
    limits: UsageLimits,
    used: UsageChange,
    change: UsageChange,
  ): Promise<void> {
    const free = (kind: keyof UsageLimits): number | null => {
      const limit = limits[kind];
      return limit === null ? null : Math.floor(Math.max(0, limit - used[kind] - change[kind]) / USAGE_SHARDS);
    };
    await tx.query(DISTRIBUTE, [projectId, change.objects, change.bytes, free('objects'), free('bytes')]);
  }
}

/** Whether a write needs more than the share of its row. Its statement had no effect; it must be repeated with `addExactly`. */
export function isShareUsedUp(error: unknown): boolean {
  const { constraint = '' } = error as { constraint?: string };
  return errorCode(error) === '23514' && constraint.startsWith('project_usage_');
}

interface QuotaFigures {
  quota: keyof UsageChange;
  limit: number;
  used: number;
  added: number;
}

/** A write that the project has no room for. Only roles that may read what the project stores get to know how much it is. */
export class QuotaExceeded extends Problem {
  override name = 'QuotaExceeded';

  constructor(private readonly figures: QuotaFigures) {
    const { quota, limit, used, added } = figures;
    const of = quota === 'objects' ? 'objects' : 'bytes of data';
    const detail =
      `The project may have ${String(limit)} ${of}, and has no room for at least ${String(added)} more. ` +
      'Nothing was stored. Delete objects, or ask the operator for a higher limit.';
    // Where rate limits are on, their fields replace these. What is left would reveal what the project stores: no room for this
    // write is 0.
    const headers = {
      'RateLimit-Policy': `"quota-${quota}";q=${String(limit)}`,
      RateLimit: `"quota-${quota}";r=0`,
    };
    super('quota-exceeded', { detail, headers, extra: { quota, limit, added }, readerExtra: { used } });
  }

  /** The problem of a part of the write; null where the part alone would have had room. */
  of(part: UsageChange): QuotaExceeded | null {
    const { quota, limit, used } = this.figures;
    return used + part[quota] > limit ? new QuotaExceeded({ ...this.figures, added: part[quota] }) : null;
  }
}

/** Whether either of the two is larger than in `room`. */
export function exceeds(size: UsageChange, room: UsageChange): boolean {
  return size.objects > room.objects || size.bytes > room.bytes;
}

type Row = Pick<ProjectUsageEntity, 'objects' | 'bytes'>;

function totalOf(rows: readonly Row[]): UsageChange {
  const sum = (kind: keyof Row): number => rows.reduce((total, row) => total + Number(row[kind]), 0);
  return { objects: sum('objects'), bytes: sum('bytes') };
}

function isUnlimited({ objects, bytes }: UsageLimits): boolean {
  return objects === null && bytes === null;
}

function forEachQuota(valueOf: (quota: keyof UsageChange) => number): UsageChange {
  return { objects: valueOf('objects'), bytes: valueOf('bytes') };
}

/** A bigint that is a limit, which is exact in JavaScript. */
export function toNumber(text: string | null): number | null {
  return text === null ? null : Number(text);
}

import { describeError } from '#platform';
import { setTimeout as sleep } from 'node:timers/promises';
import { Database, DiskReserve, isConnectionLoss } from '#database';
import { Maintenance, MAINTENANCE_PROJECTS, MAINTENANCE_ROWS, type MaintenanceTask } from '#jobs';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { IndexBuildStore } from './index-build.store.js';
import { PENDING_MAX, PendingSchedule, type PendingObjects } from './pending-schedule.js';
import { SegmentMergeStore } from './segment-merge.store.js';
import { SegmentStore } from './segment.store.js';

const EVERY_MS = 1_000;

/** The most objects of one step. */
const STEP_OBJECTS = 10_000;

/** A merge or a build is followed by a pause of this many times its duration, so that requests have the processors. */
const PAUSES = 3;
const PAUSE_MAX_MS = 5_000;
/** How often projects whose segments did not change are looked at, for what was deleted. */
const MERGE_ALL_EVERY_MS = 60_000;

/**
 * The pending objects of each project. It steps from project to project in the primary key, and does not count all of a project that has
 * many: with 300,000 of one project and 5 of 1,000 others it takes 15 ms where GROUP BY takes 66.
 */
const PENDING = {
  name: 'index.pending',
  text: `
    WITH RECURSIVE project AS (
      (SELECT project_id FROM index_pending ORDER BY project_id LIMIT 1)
      UNION ALL
      SELECT next.project_id FROM project, LATERAL (
        SELECT p.project_id FROM index_pending AS p WHERE p.project_id > project.project_id ORDER BY p.project_id LIMIT 1
      ) AS next
    )
    SELECT project_id, objects FROM project, LATERAL (
      SELECT count(*)::int AS objects FROM (
        SELECT FROM index_pending AS p WHERE p.project_id = project.project_id AND NOT is_wide LIMIT ${String(PENDING_MAX)}
      ) AS first
    ) AS pending WHERE objects > 0`,
};

/** The same on a cluster, which cannot step from project to project. */
const PENDING_DISTRIBUTED = {
  name: 'index.pending-distributed',
  text: `
    SELECT project_id, least(count(*), ${String(PENDING_MAX)})::int AS objects FROM index_pending
    WHERE NOT is_wide GROUP BY project_id`,
};

const BUILDS = { name: 'index.builds', text: `SELECT project_id FROM index_builds` };

/** The projects with segments, and the newest of each. */
const SEGMENTS = {
  name: 'index.newest-segments',
  text: `SELECT project_id, max(number) AS number FROM index_segments GROUP BY project_id`,
};

/** Outdated objects in no segment: they were deleted before they were indexed. A build may hold entries that are not visible yet. */
const IS_UNUSED = `
  NOT EXISTS (
    SELECT FROM index_segments AS s WHERE s.project_id = o.project_id AND s.first_seq <= o.seq AND s.last_seq >= o.seq)
  AND NOT EXISTS (SELECT FROM index_builds AS b WHERE b.project_id = o.project_id)`;
const DELETE_UNUSED: MaintenanceTask = {
  name: 'delete outdated entries of the index',
  projectsSql: `
    SELECT DISTINCT project_id FROM (
      SELECT o.project_id FROM index_outdated AS o WHERE ${IS_UNUSED} LIMIT ${String(MAINTENANCE_ROWS)}
    ) AS unused LIMIT ${String(MAINTENANCE_PROJECTS)}`,
  projectSql: `
    WITH unused AS (
      DELETE FROM index_outdated WHERE project_id = $1 AND seq IN (
        SELECT o.seq FROM index_outdated AS o WHERE o.project_id = $1 AND ${IS_UNUSED}
        LIMIT ${String(MAINTENANCE_ROWS)} FOR UPDATE SKIP LOCKED)
      RETURNING 1)
    SELECT count(*) >= ${String(MAINTENANCE_ROWS)} AS has_more FROM unused`,
};

/** Moves pending objects into segments, merges segments, and indexes what was stored before the index existed; in the background. */
@Injectable()
export class Indexer implements BeforeApplicationShutdown {
  private readonly log = new Logger('index');
  private running: Promise<void> | undefined;
  private readonly stopping = new AbortController();
  private readonly schedule = new PendingSchedule();
  /** When pending objects were last indexed. */
  private indexedAtMs = 0;
  /** The newest segment of each project when its segments were last merged. */
  private readonly merged = new Map<number, string>();
  private mergedAllAtMs = performance.now();

  constructor(
    private readonly database: Database,
    private readonly disk: DiskReserve,
    private readonly segments: SegmentStore,
    private readonly merges: SegmentMergeStore,
    private readonly builds: IndexBuildStore,
    maintenance: Maintenance,
  ) {
    maintenance.add(DELETE_UNUSED);
    maintenance.whenStarted(() => {
      this.running ??= this.run();
    });
  }

  /** The time since this process first saw pending objects of a project that it has not indexed since; 0 without some. */
  get oldestPendingMs(): number {
    return this.schedule.oldestAgeMs(performance.now());
  }

  /** Resolves when the current step has ended. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Does everything that is due: one step of each project in turn. */
  private async runOnce(): Promise<void> {
    for (let hasMore = true; hasMore && !this.isStopping;) {
      hasMore = await this.indexPending();
      for (const { project_id: projectId } of await this.database.query<{ project_id: number }>(BUILDS)) {
        if (await this.pausing(projectId, () => this.builds.buildSome(projectId))) hasMore = true;
      }
      for (const projectId of await this.unmerged()) {
        if (await this.pausing(projectId, () => this.merges.mergeSome(projectId))) hasMore = true;
      }
    }
  }

  /** One step for each project that is due. @returns whether one may have more */
  private async indexPending(): Promise<boolean> {
    let hasMore = false;
    this.indexedAtMs = performance.now();
    const statement = this.database.isDistributed ? PENDING_DISTRIBUTED : PENDING;
    const pending = await this.database.query<PendingObjects>(statement);
    for (const projectId of this.schedule.takeDue(pending, performance.now())) {
      const indexed = await this.attempt(projectId, () => this.segments.indexPending(projectId, STEP_OBJECTS));
      if (indexed === STEP_OBJECTS) hasMore = true;
    }
    return hasMore;
  }

  /** The projects that may have segments to merge: those with a new segment, and from time to time all. */
  private async unmerged(): Promise<number[]> {
    if (performance.now() - this.mergedAllAtMs > MERGE_ALL_EVERY_MS) {
      this.merged.clear();
      this.mergedAllAtMs = performance.now();
    }
    const rows = await this.database.query<{ project_id: number; number: string }>(SEGMENTS);
    const newest = new Map(rows.map((row) => [row.project_id, row.number]));
    const unmerged = [...newest.keys()].filter((projectId) => this.merged.get(projectId) !== newest.get(projectId));
    for (const [projectId, number] of newest) this.merged.set(projectId, number);
    for (const projectId of this.merged.keys()) if (!newest.has(projectId)) this.merged.delete(projectId);
    return unmerged;
  }

  /** Does a step of a merge or a build, and pauses. @returns false where the step failed, or the process stops */
  private async pausing(projectId: number, step: () => Promise<boolean>): Promise<boolean> {
    if (this.isStopping) return false;
    const startMs = performance.now();
    const hasMore = (await this.attempt(projectId, step)) ?? false;
    // Its next step is that of another round.
    if (hasMore) this.merged.delete(projectId);
    const endMs = performance.now();
    await this.pauseUntil(endMs + Math.min(PAUSES * (endMs - startMs), PAUSE_MAX_MS));
    return hasMore;
  }

  /** Indexes pending objects every second meanwhile: those of other projects do not wait for merges and builds. */
  private async pauseUntil(untilMs: number): Promise<void> {
    for (let restMs = 1; restMs > 0;) {
      if (performance.now() - this.indexedAtMs >= EVERY_MS) await this.indexPending();
      restMs = this.isStopping ? 0 : untilMs - performance.now();
      if (restMs > 0) await this.pause(Math.min(restMs, EVERY_MS));
    }
  }

  /** A project whose step fails does not stop the others. @returns undefined where it failed */
  private async attempt<T>(projectId: number, step: () => Promise<T>): Promise<T | undefined> {
    try {
      return await step();
    } catch (error) {
      if (isConnectionLoss(error)) throw error;
      this.log.warn(`indexing project ${String(projectId)} failed; it is tried again: ${describeError(error)}`);
      return undefined;
    }
  }

  private get isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private async run(): Promise<void> {
    while (!this.isStopping) {
      try {
        if (!this.disk.isLow) await this.runOnce();
      } catch (error) {
        // The heartbeat of the job runner logs an outage of the database.
        if (!isConnectionLoss(error)) this.log.warn(`indexing failed; it is tried again: ${describeError(error)}`);
      }
      await this.pause(EVERY_MS);
    }
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { Database, DiskReserve, isConnectionLoss } from '#database';
import { Maintenance } from '#jobs';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { IndexBuildStore } from './index-build.store.js';
import { SegmentMergeStore } from './segment-merge.store.js';
import { SegmentStore } from './segment.store.js';

const EVERY_MS = 1_000;

/** Pending objects of a project that are indexed at once, or after a time. Every query reads them: 250 take about 1 ms. */
const PENDING_MAX = 250;
const PENDING_OLD = { objects: 20, ageSeconds: 5 };
/** Objects of one step, about 0.1 s of work. */
const STEP_OBJECTS = 10_000;

/** A step of a merge or a build is followed by a pause of this many times its duration, so that requests have the processors. */
const PAUSES = 3;
const PAUSE_MAX_MS = 5_000;

const DUE = {
  name: 'index.due',
  text: `
    SELECT project_id FROM index_pending WHERE NOT is_wide GROUP BY project_id
    HAVING count(*) >= ${String(PENDING_MAX)} OR (count(*) >= ${String(PENDING_OLD.objects)} AND min(
      timestamptz '2024-01-01T00:00:00Z' + (seq >> 22) * interval '1 millisecond'
    ) < now() - interval '${String(PENDING_OLD.ageSeconds)} seconds')`,
};

const BUILDS = { name: 'index.builds', text: `SELECT project_id FROM index_builds` };

/** The projects with segments that were written since their segments were last merged. */
const CHANGED = {
  name: 'index.changed',
  text: `SELECT project_id, max(number) AS number FROM index_segments GROUP BY project_id`,
};

/** Moves pending objects into segments, merges segments, and indexes what was stored before the index existed; in the background. */
@Injectable()
export class Indexer implements BeforeApplicationShutdown {
  private readonly log = new Logger('index');
  private running: Promise<void> | undefined;
  private readonly stopping = new AbortController();
  /** The newest segment of each project when nothing was left to merge. */
  private readonly merged = new Map<number, string>();

  constructor(
    private readonly database: Database,
    private readonly disk: DiskReserve,
    private readonly segments: SegmentStore,
    private readonly merges: SegmentMergeStore,
    private readonly builds: IndexBuildStore,
    maintenance: Maintenance,
  ) {
    maintenance.whenStarted(() => {
      this.running ??= this.run();
    });
  }

  /** Resolves when the current step has ended. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Does everything that is due; projects take turns. @param pauses how long to pause after a step, in durations of the step */
  async runOnce(pauses = 0): Promise<void> {
    for (const projectId of await this.projects(DUE)) {
      while (!this.isStopping && (await this.segments.indexPending(projectId, STEP_OBJECTS)) === STEP_OBJECTS);
    }
    await this.inTurns(await this.projects(BUILDS), pauses, (projectId) => this.builds.buildSome(projectId));
    const changed = await this.database.query<{ project_id: number; number: string }>(CHANGED);
    const newest = new Map(changed.map((row) => [row.project_id, row.number]));
    const unmerged = [...newest.keys()].filter((projectId) => this.merged.get(projectId) !== newest.get(projectId));
    await this.inTurns(unmerged, pauses, async (projectId) => {
      const hasMore = await this.merges.mergeSome(projectId);
      if (!hasMore) this.merged.set(projectId, newest.get(projectId) ?? '');
      return hasMore;
    });
    for (const projectId of this.merged.keys()) if (!newest.has(projectId)) this.merged.delete(projectId);
  }

  private get isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private async run(): Promise<void> {
    while (!this.isStopping) {
      try {
        if (!this.disk.isLow) await this.runOnce(PAUSES);
      } catch (error) {
        // The heartbeat of the job runner logs an outage of the database.
        if (!isConnectionLoss(error)) this.log.warn(`indexing failed; it is tried again: ${String(error)}`);
      }
      await this.pause(EVERY_MS);
    }
  }

  private async projects(statement: typeof DUE): Promise<number[]> {
    return (await this.database.query<{ project_id: number }>(statement)).map((row) => row.project_id);
  }

  /** Calls `step` for each project in turn until it returns false. */
  private async inTurns(
    projects: number[],
    pauses: number,
    step: (projectId: number) => Promise<boolean>,
  ): Promise<void> {
    let left = projects;
    while (left.length > 0) {
      const next: number[] = [];
      for (const projectId of left) {
        if (this.isStopping) return;
        const startMs = performance.now();
        if (await step(projectId)) next.push(projectId);
        if (pauses > 0) await this.pause(Math.min(pauses * (performance.now() - startMs), PAUSE_MAX_MS));
      }
      left = next;
    }
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
  }
}

import { describeError } from '#platform';
import { setTimeout as sleep } from 'node:timers/promises';
import { AuditLog, RETENTION } from '#audit';
import { Database, isConnectionLoss, Sequence, type Queryable } from '#database';
import type { Filter } from '#filter';
import { Maintenance } from '#jobs';
import { ObjectDeletionStore } from '#objects';
import { Telemetry } from '#telemetry';
import { DeletionStore } from '#undelete';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { RetentionStore, STEP_OBJECTS, type RetainedProject, type Position } from './retention.store.js';

/** Soon enough for a number of days; each run adds an entry to the audit log of a project. */
const EVERY_MS = 3_600_000;

/** A step that fails, because a statement takes too long, is tried again with this part of its objects. */
const SMALLER_BY = 10;

/** Listed among the tasks of the maintenance. */
const TASK = 'delete objects older than the retention';

/** The next step of a project. */
interface Step {
  project: RetainedProject;
  /** Objects that were deleted, and could be restored, come after all others. */
  kind: 'stored' | 'deleted';
  limit: number;
  /** Of stored objects; undefined for the start. */
  from?: Position | undefined;
}

interface Taken {
  /** Whether there may be more after them. */
  isFull: boolean;
  /** Where they end. */
  last: Position | undefined;
  count: number;
}

/** Deletes the objects that are older than the retention of their project, in steps; projects take turns. */
@Injectable()
export class Retention implements BeforeApplicationShutdown {
  private readonly log = new Logger('retention');
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;

  constructor(
    private readonly store: RetentionStore,
    private readonly objects: ObjectDeletionStore,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly deletions: DeletionStore,
    private readonly telemetry: Telemetry,
    private readonly maintenance: Maintenance,
  ) {
    maintenance.addBackground(TASK);
    maintenance.whenStarted(() => {
      this.running ??= this.runHourly();
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Deletes everything that is due now. Each step is followed by a pause of its duration, so that other work has half of the time. */
  async run(): Promise<void> {
    const projects = await this.store.listProjects();
    let steps = projects.map((project): Step => ({ project, kind: 'stored', limit: STEP_OBJECTS }));
    let failure: string | undefined;
    while (steps.length > 0) {
      this.maintenance.record(TASK, true);
      const unfinished: Step[] = [];
      for (const step of steps) {
        if (this.stopping.signal.aborted) return;
        const startMs = performance.now();
        const { next, error } = await this.attempt(step);
        if (next !== null) unfinished.push(next);
        if (error !== undefined) failure = error;
        await this.pause(performance.now() - startMs);
      }
      steps = unfinished;
    }
    this.maintenance.record(TASK, false, failure);
  }

  private async runHourly(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        await this.run();
      } catch (error) {
        this.maintenance.record(TASK, true, describeError(error));
        // The heartbeat of the job runner logs an outage of the database.
        if (!isConnectionLoss(error)) this.log.warn(`retention failed; it is tried again: ${describeError(error)}`);
      }
      await this.pause(EVERY_MS);
    }
  }

  /**
   * A step that fails is tried again with fewer objects, because the same ones would fail again. A project of which one object cannot be
   * deleted does not stop the others; it is tried again in the next run.
   */
  private async attempt(step: Step): Promise<{ next: Step | null; error?: string }> {
    try {
      return { next: await this.take(step) };
    } catch (error) {
      if (isConnectionLoss(error)) throw error;
      if (step.limit > 1) return { next: { ...step, limit: Math.ceil(step.limit / SMALLER_BY) } };
      this.telemetry.metrics?.retentionFailures.inc();
      const { projectId } = step.project;
      this.log.warn(`retention of project ${String(projectId)} failed; it is tried again: ${describeError(error)}`);
      return { next: null, error: describeError(error) };
    }
  }

  /** Deletes some objects. @returns the next step; null where there is none */
  private async take(step: Step): Promise<Step | null> {
    const { project, kind, limit } = step;
    const { isFull, last, count } = await this.database.transaction(async (tx) => {
      await this.objects.limitStatements(tx);
      if (!(await this.store.tryLock(tx, project.projectId)) || !(await this.store.isExpired(tx, project))) {
        return { isFull: null, last: undefined, count: 0 };
      }
      return kind === 'stored' ? this.deleteStored(tx, step) : this.deleteDeleted(tx, step);
    });
    this.telemetry.metrics?.retentionObjects.inc(count);
    if (isFull === null) return null;
    if (isFull) return { ...step, from: last, limit: Math.min(limit * SMALLER_BY, STEP_OBJECTS) };
    return kind === 'stored' ? { project, kind: 'deleted', limit: STEP_OBJECTS } : null;
  }

  private async deleteStored(tx: Queryable, { project, from, limit }: Step): Promise<Taken> {
    const { projectId, before } = project;
    const { seqs: found, last } = await this.store.find(tx, project, limit, from);
    if (found.length === 0) return { isFull: false, last, count: 0 };
    const seqs = await this.store.lockBatchesOf(tx, projectId, found);
    // Compared again under the lock: an object may have got another time.
    const filter: Filter = { kind: 'observed', from: null, until: before };
    const revision = this.sequence.next();
    // Nobody asked for them to be deleted now, and a restored object would be deleted again.
    const { count } = await this.objects.delete(tx, projectId, filter, { seqs, revision, deletionId: null });
    if (count > 0) {
      const details = { object_count: count, observed_before: before };
      await this.audit.append(tx, { projectId, actor: RETENTION, action: 'objects.expire', details });
    }
    return { isFull: found.length === limit, last, count };
  }

  /** Their deletion is in the audit log already. */
  private async deleteDeleted(tx: Queryable, { project, limit }: Step): Promise<Taken> {
    const count = await this.deletions.expire(tx, project.projectId, project.before, limit);
    return { isFull: count === limit, last: undefined, count };
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
  }
}

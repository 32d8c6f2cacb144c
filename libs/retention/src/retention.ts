import { describeError } from '#platform';
import { setTimeout as sleep } from 'node:timers/promises';
import { AuditLog, RETENTION } from '#audit';
import { Database, errorCode, isConnectionLoss, isServerFailure, Sequence, type Queryable } from '#database';
import type { Filter } from '#filter';
import { Maintenance } from '#jobs';
import { ObjectDeletionStore } from '#objects';
import { Telemetry } from '#telemetry';
import { DeletionStore } from '#undelete';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { RetentionFailures, type FoundObject } from './retention-failures.js';
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
  /** Of the project, in all steps of this run. */
  failures: RetentionFailures;
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
    const started = projects.map((project): Step => ({
      project,
      kind: 'stored',
      limit: STEP_OBJECTS,
      failures: new RetentionFailures(),
    }));
    let error: string | undefined;
    try {
      await this.runSteps(started);
    } finally {
      // Also of a run that a stop or an outage ends.
      error = this.report(started);
    }
    if (!this.stopping.signal.aborted) this.maintenance.record(TASK, false, error);
  }

  private async runSteps(started: readonly Step[]): Promise<void> {
    let steps = started;
    while (steps.length > 0) {
      this.maintenance.record(TASK, true);
      const unfinished: Step[] = [];
      for (const step of steps) {
        if (this.stopping.signal.aborted) return;
        const startMs = performance.now();
        const next = await this.attempt(step);
        if (next !== null) unfinished.push(next);
        await this.pause(performance.now() - startMs);
      }
      steps = unfinished;
    }
  }

  /** Logs what could not be deleted, once for each project. @returns the error of the run; undefined without one */
  private report(started: readonly Step[]): string | undefined {
    const failed = started.filter(({ failures }) => failures.hasError);
    for (const { project, failures } of failed) {
      this.telemetry.metrics?.retentionFailures.inc();
      const failure = `retention of project ${String(project.projectId)} failed; it is tried again`;
      this.log.warn(`${failure}: ${failures.toString()}${failures.idsText()}`);
    }
    const [first] = failed;
    if (first === undefined) return undefined;
    const others = failed.length === 1 ? '' : `, and other objects of ${String(failed.length - 1)} more projects`;
    return `of project ${String(first.project.projectId)} ${first.failures.toString()}${others}`;
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
   * A step that fails is tried again with fewer objects, because the same ones would fail again. An object that fails alone is left out
   * until the next run.
   * @returns the next step; null where there is none
   */
  private async attempt(step: Step): Promise<Step | null> {
    const startMs = performance.now();
    try {
      return await this.take(step);
    } catch (error) {
      if (isConnectionLoss(error)) throw error;
      step.failures.tookMs += performance.now() - startMs;
      if (step.limit > 1) return { ...step, limit: Math.ceil(step.limit / SMALLER_BY) };
      return this.leaveOut(step, error);
    }
  }

  /** Leaves out the object of a step that failed with it alone. A project of which others would fail, too, is left to the next run. */
  private async leaveOut(step: Step, error: unknown): Promise<Step | null> {
    const { failures } = step;
    if (isOfNoObject(error)) {
      failures.add(error, null);
      return null;
    }
    const object = await this.findFirst(step).catch((cause: unknown) => {
      if (isConnectionLoss(cause)) throw cause;
      return null;
    });
    failures.add(error, object);
    return object === null || failures.isFull ? null : step;
  }

  private async findFirst({ project, kind, from, failures: { seqs: without } }: Step): Promise<FoundObject | null> {
    const { projectId, before } = project;
    if (kind === 'deleted') return this.deletions.findOldest(projectId, { before, without });
    const [object] = await this.store.find(this.database, project, 1, { from, without });
    return object ?? null;
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
    return kind === 'stored' ? { project, kind: 'deleted', limit: STEP_OBJECTS, failures: step.failures } : null;
  }

  private async deleteStored(tx: Queryable, { project, from, limit, failures }: Step): Promise<Taken> {
    const { projectId, before } = project;
    const found = await this.store.find(tx, project, limit, { from, without: failures.seqs });
    const end = found.at(-1);
    if (end === undefined) return { isFull: false, last: undefined, count: 0 };
    const seqs = await this.store.lockBatchesOf(
      tx,
      projectId,
      found.map(({ seq }) => seq),
    );
    // Compared again under the lock: an object may have got another time.
    const filter: Filter = { kind: 'observed', from: null, until: before };
    const revision = this.sequence.next();
    // Nobody asked for them to be deleted now, and a restored object would be deleted again.
    const { count } = await this.objects.delete(tx, projectId, filter, { seqs, revision, deletionId: null });
    if (count > 0) {
      const details = { object_count: count, observed_before: before };
      await this.audit.append(tx, { projectId, actor: RETENTION, action: 'objects.expire', details });
    }
    return { isFull: found.length === limit, last: { observedAt: end.observed_at, seq: end.seq }, count };
  }

  /** Their deletion is in the audit log already. */
  private async deleteDeleted(tx: Queryable, { project, limit, failures }: Step): Promise<Taken> {
    const range = { before: project.before, without: failures.seqs };
    const count = await this.deletions.expire(tx, project.projectId, range, limit);
    return { isFull: count === limit, last: undefined, count };
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
  }
}

/**
 * Whether the cause is the server, what it is short of, or a lock: the other objects would fail, too, and each of them may take as long as a
 * statement may. XX is left out: PostgreSQL has it for a row that it cannot read.
 */
function isOfNoObject(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return !code.startsWith('XX') && (isServerFailure(error) || /^(?:53|55P03|57014)/.test(code));
}

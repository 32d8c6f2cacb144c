import { describeError } from '#platform';
import { setTimeout as sleep } from 'node:timers/promises';
import { AuditLog, RETENTION } from '#audit';
import { Database, isConnectionLoss, Sequence } from '#database';
import type { Filter } from '#filter';
import { Maintenance } from '#jobs';
import { ObjectDeletionStore } from '#objects';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { RetentionStore, STEP_OBJECTS, type RetainedProject, type Position } from './retention.store.js';

/** Soon enough for a number of days; each run adds an entry to the audit log of a project. */
const EVERY_MS = 3_600_000;

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
    maintenance: Maintenance,
  ) {
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
    let waiting: { project: RetainedProject; from?: Position }[] = (await this.store.listProjects()).map((project) => ({
      project,
    }));
    while (waiting.length > 0) {
      const unfinished: typeof waiting = [];
      for (const { project, from } of waiting) {
        if (this.stopping.signal.aborted) return;
        const startMs = performance.now();
        const last = await this.attempt(project, from);
        if (last !== undefined) unfinished.push({ project, from: last });
        await this.pause(performance.now() - startMs);
      }
      waiting = unfinished;
    }
  }

  private async runHourly(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        await this.run();
      } catch (error) {
        // The heartbeat of the job runner logs an outage of the database.
        if (!isConnectionLoss(error)) this.log.warn(`retention failed; it is tried again: ${describeError(error)}`);
      }
      await this.pause(EVERY_MS);
    }
  }

  /** A project whose step fails does not stop the others; it is tried again in the next run. */
  private async attempt(project: RetainedProject, from: Position | undefined): Promise<Position | undefined> {
    try {
      return await this.step(project, from);
    } catch (error) {
      if (isConnectionLoss(error)) throw error;
      this.log.warn(
        `retention of project ${String(project.projectId)} failed; it is tried again: ${describeError(error)}`,
      );
      return undefined;
    }
  }

  /** Deletes some objects. @returns where the next step begins; undefined where there is none */
  private step(project: RetainedProject, from: Position | undefined): Promise<Position | undefined> {
    const { projectId, before } = project;
    return this.database.transaction(async (tx) => {
      await this.objects.limitStatements(tx);
      if (!(await this.store.tryLock(tx, projectId))) return undefined;
      if (!(await this.store.isExpired(tx, project))) return undefined;
      const { seqs: found, last } = await this.store.find(tx, project, from);
      if (found.length === 0) return undefined;
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
      return found.length === STEP_OBJECTS ? last : undefined;
    });
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
  }
}

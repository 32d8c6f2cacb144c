import { setTimeout as sleep } from 'node:timers/promises';
import { DeviceStore, KeyService, ProjectService } from '#access';
import { AuditLog } from '#audit';
import { Database, type Queryable } from '#database';
import { checkPreconditions, etagOfJson, Problem, type Preconditions } from '#http';
import {
  OperatorJobs,
  pathParam,
  WriteOperations,
  type NewJob,
  type OperatorRequest,
  type Receipt,
  type WriteOperation,
  type WriteRequest,
  type WriteResponse,
} from '#jobs';
import { UsageStore } from '#usage';
import { Injectable } from '@nestjs/common';
import { ProjectDeletionStore, type DeletedRows } from './project-deletion.store.js';

/** As for the other changes of projects and keys. */
const PRECONDITION_RULES = { requireIfMatch: false };

export interface DeletionOptions {
  /** Whether a project with batches or objects is deleted too. */
  cascade: boolean;
  /** Absent for a command. */
  preconditions?: Preconditions;
}

export interface ProjectContents {
  batches: number;
  objects: number;
}

/** The result of the job: the numbers of deleted rows. */
export interface DeletionResult {
  project_id: number;
  deleted: Record<'batches' | 'objects' | 'jobs' | 'keys' | 'devices', number>;
}

/** Deletes a project at once, and then its rows in a job. See docs/decisions/024. */
@Injectable()
export class ProjectDeletion {
  private readonly operation: WriteOperation = {
    name: 'project.delete',
    run: (request, receipt) => this.deleteRows(request, receipt),
  };

  constructor(
    private readonly projects: ProjectService,
    private readonly keys: KeyService,
    private readonly devices: DeviceStore,
    private readonly usage: UsageStore,
    private readonly store: ProjectDeletionStore,
    private readonly jobs: OperatorJobs,
    private readonly audit: AuditLog,
    private readonly database: Database,
    operations: WriteOperations,
  ) {
    operations.register(this.operation);
  }

  /**
   * Deletes a project with its keys, devices, usage and webhooks: at once in this process, in others within 5 seconds.
   * @param id as in a URL
   * @returns the job that deletes its rows, which is queued
   * @throws Problem not-found; project-not-empty unless `cascade`; precondition-failed
   */
  async delete(id: string, options: DeletionOptions, request: OperatorRequest): Promise<NewJob> {
    const job = await this.jobs.prepare(this.operation.name, { project_id: id }, request);
    let keyIds: string[] = [];
    try {
      await this.database.transaction(async (tx) => {
        keyIds = await this.deleteIn(tx, id, options, request, job);
      });
    } finally {
      // Also where the outcome of the commit is unknown.
      this.keys.forget(keyIds);
    }
    this.jobs.wake();
    return job;
  }

  /** Counts what `cascade` would delete. */
  async count(projectId: number): Promise<ProjectContents> {
    const objects = (await this.usage.find(projectId))?.objects ?? 0;
    return { batches: await this.store.countBatches(this.database, projectId), objects };
  }

  /** @returns the ids of the deleted keys */
  private async deleteIn(
    tx: Queryable,
    id: string,
    { cascade, preconditions = {} }: DeletionOptions,
    { actor }: OperatorRequest,
    job: NewJob,
  ): Promise<string[]> {
    const project = await this.projects.lockForDelete(tx, id);
    const { project_id: projectId, name } = project;
    // Before the batches are counted: from here on, a write that adds objects waits for this transaction.
    const { objects, bytes } = await this.usage.deleteOfProject(tx, projectId);
    const batches = await this.store.countBatches(tx, projectId);
    // Before the preconditions, which do not apply to a request that fails without them (RFC 9110, section 13.2.1).
    if (!cascade && (batches > 0 || objects > 0)) throw notEmpty(batches, objects);
    if (!cascade && (await this.store.hasOpenJobs(tx, projectId))) throw hasJobs();
    checkPreconditions(preconditions, etagOfJson(project), PRECONDITION_RULES);
    const keyIds = await this.keys.deleteOfProject(projectId, tx);
    const devices = await this.devices.deleteOfProject(projectId, tx);
    const webhooks = await this.store.deleteWebhooks(tx, projectId);
    await this.projects.deleteLocked(tx, projectId);
    await this.store.insert(tx, projectId, { api_keys: keyIds.length, devices, webhooks });
    await this.jobs.insert(tx, job);
    const details = { name, batches, objects, bytes, keys: keyIds.length, devices, webhooks };
    const target = { type: 'project', id } as const;
    await this.audit.append(tx, { projectId: null, actor, action: 'project.delete', target, details });
    return keyIds;
  }

  /** Pauses after each step for as long as the step took, so that other work gets at least half of the database. */
  private async deleteRows(request: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const projectId = Number(pathParam(request, 'project_id'));
    await this.store.deleteRows(projectId, sleep);
    return this.database.transaction(async (tx) => {
      const deleted = await this.store.finish(tx, projectId);
      const response = { status: 200, text: JSON.stringify(resultOf(projectId, deleted)) };
      await receipt?.(tx, response);
      return response;
    });
  }
}

function resultOf(projectId: number, deleted: DeletedRows): DeletionResult {
  const { batches = 0, objects = 0, jobs = 0, api_keys: keys = 0, devices = 0 } = deleted;
  return { project_id: projectId, deleted: { batches, objects, jobs, keys, devices } };
}

/** Such as "1 batch with 3 objects". */
export function contentsText({ batches, objects }: ProjectContents): string {
  return `${String(batches)} ${batches === 1 ? 'batch' : 'batches'} with ${String(objects)} ${objects === 1 ? 'object' : 'objects'}`;
}

/** They were accepted with 202, and may store something. */
function hasJobs(): Problem {
  return new Problem('project-not-empty', {
    detail:
      'The project still has jobs that have not ended; wait for them, or use cascade=true to delete them with it.',
    extra: { batch_count: 0, object_count: 0 },
  });
}

function notEmpty(batches: number, objects: number): Problem {
  return new Problem('project-not-empty', {
    detail: `The project still has ${contentsText({ batches, objects })}; use cascade=true to delete them with it.`,
    extra: { batch_count: batches, object_count: objects },
  });
}

import { AuditLog, REENCRYPTION } from '#audit';
import { Database, type Transaction } from '#database';
import { EncryptedKeys, finishPairs, resealPairs, type DataKey } from '#encryption';
import { SegmentMergeStore, SegmentStore } from '#inverted-index';
import { Config, EventLoopYield } from '#platform';
import { UsageStore } from '#usage';
import { Injectable } from '@nestjs/common';
import { SealedJobStore } from './sealed-job.store.js';
import { SealedObjectStore, type ObjectChange, type SealedObject } from './sealed-object.store.js';
import { SealedProjectStore } from './sealed-project.store.js';
import { afterDeleted, afterLastObject, afterObjects, afterRestore, type Walk } from './walk.js';

/** Changed objects that are added to the index at once: every query reads pending objects. */
const INDEXED_AT_ONCE = 2_000;
const INDEX_STEP = 10_000;

const LIMIT_STATEMENTS = {
  name: 'reencryption.limit-statements',
  text: `SELECT set_config('statement_timeout', $1, true)`,
};

/** Takes the steps of a walk through what a project stores. */
@Injectable()
export class ReencryptionStep {
  constructor(
    private readonly projects: SealedProjectStore,
    private readonly objects: SealedObjectStore,
    private readonly jobs: SealedJobStore,
    private readonly segments: SegmentStore,
    private readonly merges: SegmentMergeStore,
    private readonly usage: UsageStore,
    private readonly audit: AuditLog,
    private readonly encryption: EncryptedKeys,
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /** One transaction. @returns the state after it; null where the walk has ended, or another process continues it */
  async take(walk: Walk): Promise<Walk | null> {
    if (walk.phase === 'index') return this.cleanIndex(walk);
    const next = await this.database.transaction((tx) => this.takeIn(tx, walk));
    if (next === null || next.unindexed < INDEXED_AT_ONCE) return next;
    await this.segments.indexPending(next.project.projectId, INDEX_STEP);
    return { ...next, unindexed: 0 };
  }

  private async takeIn(tx: Transaction, walk: Walk): Promise<Walk | null> {
    const { project } = walk;
    const { projectId } = project;
    this.encryption.requireReadable(projectId);
    await tx.query(LIMIT_STATEMENTS, [String(this.config.database.queryTimeoutMs)]);
    const cursor = await this.projects.lock(tx, project, this.dataKey.id);
    if (cursor === null) return null;
    const next = await this.stepOf(tx, cursor < walk.cursor ? afterRestore(walk, cursor) : walk);
    if (next !== null && next.cursor !== cursor) await this.projects.moveCursor(tx, projectId, next.cursor);
    return next;
  }

  private stepOf(tx: Transaction, walk: Walk): Promise<Walk | null> {
    switch (walk.phase) {
      case 'objects':
        return this.sealObjects(tx, walk);
      case 'deleted':
        return this.sealDeleted(tx, walk);
      case 'jobs':
        return this.sealJobs(tx, walk);
      default:
        return this.finish(tx, walk);
    }
  }

  private async sealObjects(tx: Transaction, walk: Walk): Promise<Walk> {
    const { projectId, keys } = walk.project;
    const { affected, last } = await this.objects.find(tx, projectId, keys, walk.seq);
    if (last === null) return afterLastObject(walk);
    const locked = affected.length === 0 ? [] : await this.objects.read(tx, projectId, affected);
    const changes = await this.changesOf(walk, locked);
    if (changes.length > 0) {
      await this.objects.update(tx, projectId, changes);
      const bytes = changes.reduce((sum, { bytesAdded }) => sum + bytesAdded, 0);
      await this.usage.addUnlimited(tx, projectId, { objects: 0, bytes });
    }
    return afterObjects(walk, last.seq, changes.length, locked.length < affected.length);
  }

  private async sealDeleted(tx: Transaction, walk: Walk): Promise<Walk> {
    const { projectId, keys } = walk.project;
    const { affected, last } = await this.objects.findDeleted(tx, projectId, keys, walk.deleted);
    const locked = affected.length === 0 ? [] : await this.objects.readDeleted(tx, projectId, affected);
    const changes = await this.changesOf(walk, locked);
    if (changes.length > 0) {
      const bytes = await this.objects.updateDeleted(tx, projectId, changes);
      await this.usage.subtractDeleted(tx, projectId, -bytes);
    }
    return afterDeleted(walk, last, changes.length, locked.length < affected.length);
  }

  private async sealJobs(tx: Transaction, walk: Walk): Promise<Walk> {
    const job = await this.jobs.sealNext(tx, walk.project, walk.job);
    return job === null ? { ...walk, phase: 'index' } : { ...walk, job };
  }

  /** Writes segments of the index again that still have the former values; the others are written again when they are merged. */
  private async cleanIndex(walk: Walk): Promise<Walk> {
    const { projectId, keys } = walk.project;
    const below = walk.segmentsBelow ?? BigInt((await this.segments.nextNumbers(this.database, 1))[0] ?? 0);
    const found = await this.merges.dropValuesOf(projectId, keys, below);
    return { ...walk, segmentsBelow: below, phase: found === 'none' ? 'finish' : 'index', isBusy: found === 'busy' };
  }

  private async finish(tx: Transaction, { project }: Walk): Promise<null> {
    const { projectId, keys } = project;
    await this.projects.finish(tx, projectId);
    const details = { encrypted_keys: keys, data_key: this.dataKey.id };
    await this.audit.append(tx, { projectId, actor: REENCRYPTION, action: 'project.encrypt', details });
    return null;
  }

  /** Requests are served in between. */
  private async changesOf({ project }: Walk, objects: readonly SealedObject[]): Promise<ObjectChange[]> {
    const { projectId } = project;
    const keys = new Set(project.keys);
    const turns = new EventLoopYield(projectId);
    const changes: ObjectChange[] = [];
    for (const { objectId, data, ...position } of objects) {
      const work = resealPairs(this.encryption.dataKeys, { projectId, objectId }, keys, data);
      const sealed = await finishPairs(work, turns);
      const bytesAdded = Buffer.byteLength(sealed) - Buffer.byteLength(data);
      if (sealed !== data) changes.push({ ...position, data: sealed, bytesAdded });
      if (turns.isDue) await turns.yield();
    }
    return changes;
  }

  /** A process without a data key takes no step. */
  private get dataKey(): DataKey {
    const { current } = this.encryption;
    if (current === null) throw new Error('there is no data key');
    return current;
  }
}

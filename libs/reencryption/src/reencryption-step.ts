import { AuditLog, REENCRYPTION } from '#audit';
import { Database, LIMIT_STATEMENTS, type Transaction } from '#database';
import { EncryptedKeys, type DataKey } from '#encryption';
import { SegmentMergeStore, SegmentStore } from '#inverted-index';
import { Config, EventLoopYield } from '#platform';
import { UsageStore } from '#usage';
import { Injectable } from '@nestjs/common';
import { SealedJobStore } from './sealed-job.store.js';
import {
  SealedObjectStore,
  type FoundObjects,
  type ObjectChange,
  type ObjectPosition,
  type SealedObject,
  type SeqRange,
} from './sealed-object.store.js';
import { SealedProjectStore, type StoredPosition } from './sealed-project.store.js';
import {
  afterDeleted,
  afterObjects,
  afterOtherWrite,
  afterRange,
  afterRestore,
  afterSegment,
  type Walk,
} from './walk.js';

/** Changed objects that are added to the index at once: every query reads pending objects. */
const INDEXED_AT_ONCE = 2_000;
const INDEX_STEP = 10_000;

const NOTHING: FoundObjects = { affected: [], last: null };

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

  /** One transaction. @returns the state after it; null where another process has the walk, or the list was changed */
  async take(walk: Walk): Promise<Walk | null> {
    const next = await this.database.transaction((tx) => this.takeIn(tx, walk));
    if (next === null) return null;
    if (walk.phase === 'index' && next.phase === 'index') return this.cleanIndex(next);
    if (next.unindexed < INDEXED_AT_ONCE) return next;
    await this.segments.indexPending(next.project.projectId, INDEX_STEP);
    return { ...next, unindexed: 0 };
  }

  private async takeIn(tx: Transaction, walk: Walk): Promise<Walk | null> {
    const { project } = walk;
    const { projectId } = project;
    this.encryption.requireReadable(projectId);
    await tx.query(LIMIT_STATEMENTS, [String(this.config.database.queryTimeoutMs)]);
    const stored = await this.projects.lock(tx, project, this.dataKey.id);
    if (stored === 'busy') return { ...walk, retries: walk.retries + 1 };
    // Only steps move the cursor forward: a server of an earlier version walks, or this step is repeated although it was committed. What was
    // done is not done again, and the cursor never goes back.
    if (stored === null || stored.cursor > walk.cursor) return null;
    const next = await this.stepOf(tx, this.continueAt(walk, stored));
    if (next.phase === 'done') return next;
    const version = await this.projects.moveCursor(tx, projectId, next.cursor);
    return { ...next, project: { ...project, version } };
  }

  /** Others may have written the row of the project since the last step. */
  private continueAt(walk: Walk, { cursor, version }: StoredPosition): Walk {
    if (cursor < walk.cursor) return afterRestore(walk, cursor);
    return version === walk.project.version ? walk : afterOtherWrite(walk);
  }

  private async stepOf(tx: Transaction, walk: Walk): Promise<Walk> {
    switch (walk.phase) {
      case 'objects':
        return this.sealObjects(tx, walk);
      case 'deleted':
        return this.sealDeleted(tx, walk);
      case 'jobs':
        return this.sealJobs(tx, walk);
      case 'index':
        return walk;
      default:
        return this.finish(tx, walk);
    }
  }

  private async sealObjects(tx: Transaction, walk: Walk): Promise<Walk> {
    const { projectId, keys } = walk.project;
    const [range] = walk.ranges;
    const { affected, last } = range === undefined ? NOTHING : await this.objects.find(tx, projectId, keys, range);
    if (last === null) return afterRange(walk);
    const locked = affected.length === 0 ? [] : await this.objects.lock(tx, projectId, affected);
    const changes = await this.changesOf(walk, locked);
    if (changes.length > 0) {
      await this.objects.update(tx, projectId, changes);
      const bytes = changes.reduce((sum, { bytesAdded }) => sum + bytesAdded, 0);
      await this.usage.addUnlimited(tx, projectId, { objects: 0, bytes });
    }
    const leftOut = await this.findLeftOut(tx, walk, affected, locked);
    return afterObjects(walk, { seq: last.seq, changed: changes.length, leftOut });
  }

  /** Those that could not be locked, and have to be changed: in a batch that is written all the time they may be sealed already. */
  private async findLeftOut(
    tx: Transaction,
    walk: Walk,
    affected: readonly ObjectPosition[],
    locked: readonly SealedObject[],
  ): Promise<SeqRange | null> {
    if (locked.length === affected.length) return null;
    const isLocked = new Set(locked.map(({ seq }) => seq));
    const others = affected.filter(({ seq }) => !isLocked.has(seq));
    return rangeOf(await this.changesOf(walk, await this.objects.read(tx, walk.project.projectId, others)));
  }

  private async sealDeleted(tx: Transaction, walk: Walk): Promise<Walk> {
    const { projectId, keys } = walk.project;
    const { affected, last } = await this.objects.findDeleted(tx, projectId, keys, walk.deleted);
    const locked = affected.length === 0 ? [] : await this.objects.lockDeleted(tx, projectId, affected);
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
    return afterSegment({ ...walk, segmentsBelow: below }, await this.merges.dropValuesOf(projectId, keys, below));
  }

  private async finish(tx: Transaction, walk: Walk): Promise<Walk> {
    const { projectId, keys } = walk.project;
    await this.projects.finish(tx, projectId);
    const details = { encrypted_keys: keys, data_key: this.dataKey.id };
    await this.audit.append(tx, { projectId, actor: REENCRYPTION, action: 'project.encrypt', details });
    return { ...walk, phase: 'done' };
  }

  /** Requests are served in between. */
  private async changesOf({ project }: Walk, objects: readonly SealedObject[]): Promise<ObjectChange[]> {
    const { projectId } = project;
    const keys = new Set(project.keys);
    const turns = new EventLoopYield(projectId);
    const changes: ObjectChange[] = [];
    for (const { objectId, data, ...position } of objects) {
      const sealed = await this.encryption.reseal({ projectId, objectId }, keys, data, turns);
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

/** From the first to the last one, in any order; null for none. */
function rangeOf(objects: readonly ObjectPosition[]): SeqRange | null {
  const [first, ...others] = objects;
  if (first === undefined) return null;
  const range = { after: first.seq - 1n, until: first.seq };
  for (const { seq } of others) {
    if (seq <= range.after) range.after = seq - 1n;
    if (seq > range.until) range.until = seq;
  }
  return range;
}

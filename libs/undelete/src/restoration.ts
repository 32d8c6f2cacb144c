import { AuditLog, boundedIds, type Actor } from '#audit';
import { Database, DISABLE_STATEMENT_TIMEOUT, isUniqueViolation, Sequence, type Transaction } from '#database';
import { ERRORS_LISTED_MAX, Problem } from '#http';
import { SegmentStore } from '#inverted-index';
import { UsageStore } from '#usage';
import { Injectable } from '@nestjs/common';
import { DeletionStore, type DeletionRow, type RestoredPart } from './deletion.store.js';
import type { RestoredDto } from './deletion.dto.js';

/** Attempts while other requests use one of the ids. */
const ATTEMPTS = 3;

/** Restored objects that wait for the indexer: pending objects cost every query, so more are indexed at once. */
const PENDING_OBJECTS_MAX = 200;

type Find = (tx: Transaction) => Promise<DeletionRow | null>;
type Kind = 'deletion' | 'batch' | 'object';

/** Restores what was deleted, with the order, times and usage that it had. */
@Injectable()
export class Restoration {
  constructor(
    private readonly deletions: DeletionStore,
    private readonly segments: SegmentStore,
    private readonly usage: UsageStore,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
  ) {}

  /** Restores everything that a request has deleted. @throws Problem not-found, conflict, quota-exceeded */
  restoreDeletion(projectId: number, deletionId: string, actor: Actor): Promise<RestoredDto> {
    const find: Find = (tx) => this.deletions.find(tx, projectId, deletionId);
    return this.restore('deletion', find, { projectId, objectId: null }, actor);
  }

  /** Restores the batch that had this id last, with the objects that were deleted with it. @throws the same */
  restoreBatch(projectId: number, batchId: string, actor: Actor): Promise<RestoredDto> {
    const find: Find = (tx) => this.deletions.findOfBatch(tx, projectId, batchId);
    return this.restore('batch', find, { projectId, objectId: null }, actor);
  }

  /** Restores the object that had this id last, whose batch must exist. @throws the same */
  restoreObject(projectId: number, objectId: string, actor: Actor): Promise<RestoredDto> {
    const find: Find = (tx) => this.deletions.findOfObject(tx, projectId, objectId);
    return this.restore('object', find, { projectId, objectId }, actor);
  }

  private async restore(
    kind: Kind,
    find: Find,
    part: Omit<RestoredPart, 'deletionId'>,
    actor: Actor,
  ): Promise<RestoredDto> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      try {
        return await this.database.transaction(async (tx) => {
          // Restoring the objects of a large batch may take longer than the timeout.
          await tx.query(DISABLE_STATEMENT_TIMEOUT);
          const deletion = await find(tx);
          if (deletion === null) throw notRestorable(kind);
          const restored = await this.restoreIn(tx, deletion, { ...part, deletionId: deletion.deletion_id }, actor);
          // Another request has restored the object while this one waited.
          if (restored.batches + restored.objects === 0) throw notRestorable(kind);
          return restored;
        });
      } catch (error) {
        // An id was used after it was looked up; the next attempt finds it.
        if (!isUniqueViolation(error)) throw error;
      }
    }
    throw new Problem('unavailable', { detail: 'An id was in use while it was restored; retry the request.' });
  }

  private async restoreIn(
    tx: Transaction,
    deletion: DeletionRow,
    part: RestoredPart,
    actor: Actor,
  ): Promise<RestoredDto> {
    const { projectId, deletionId, objectId } = part;
    await this.deletions.encryptAgain(tx, part);
    // Restored, they would be kept for longer than the project allows.
    const expired = await this.deletions.expirePart(tx, part);
    const objectCount = Number(deletion.object_count) - expired.objects;
    const batchId = objectId === null && deletion.batch_seq !== null ? deletion.batch_id : null;
    const revision = this.sequence.next();
    if (batchId !== null && !(await this.deletions.createBatch(tx, projectId, deletion, revision))) {
      throw conflict([batchId], 'exists again', 'batch_ids');
    }
    // The batch that was created is the one of all objects, and is locked.
    const missing = batchId === null ? await this.deletions.lockBatches(tx, part) : [];
    if (missing.length > 0)
      throw conflict(missing, 'was deleted too, or is another batch now; restore the batch', 'batch_ids');
    const replaced = batchId === null ? await this.deletions.replacedBatches(tx, part) : [];
    if (replaced.length > 0) throw conflict(replaced, 'was replaced after the deletion', 'batch_ids');
    const taken = await this.deletions.takenIds(tx, part);
    if (taken.length > 0) throw conflict(taken, 'exists again', 'object_ids');
    const { batches, deletedBytes, ...added } = await this.deletions.insert(tx, part, revision);
    // Some of its objects have expired and are gone.
    if (objectId === null && added.objects !== objectCount) throw notRestorable('deletion');
    await this.deletions.finish(tx, part, added.objects);
    if (added.objects > PENDING_OBJECTS_MAX) {
      const ids = batches.map(({ batch_id: id }) => id);
      await this.segments.indexBatchesIn(tx, projectId, ids);
    }
    await this.usage.add(tx, projectId, added);
    const counted = deletion.is_counted === true ? deletedBytes : 0;
    await this.usage.subtractDeleted(tx, projectId, counted + expired.deletedBytes);
    const restoredObject = objectId ?? deletion.object_id;
    const details = { deletion_id: deletionId, object_count: added.objects };
    if (batchId !== null) {
      const target = { type: 'batch', id: batchId } as const;
      await this.audit.append(tx, { projectId, actor, action: 'batch.restore', target, details });
    } else if (restoredObject !== null) {
      const target = { type: 'object', id: restoredObject } as const;
      await this.audit.append(tx, { projectId, actor, action: 'object.restore', target, details });
    } else {
      await this.audit.append(tx, { projectId, actor, action: 'objects.restore', details });
    }
    return { deletion_id: deletionId, batches: batchId === null ? 0 : 1, objects: added.objects };
  }
}

export function notRestorable(kind: Kind): Problem {
  const detail = `No deleted ${kind === 'deletion' ? 'batch or object' : kind} of this id can be restored.`;
  return new Problem('not-found', { detail });
}

/** @param ids the first ids; 100 may stand for more */
function conflict(ids: readonly string[], reason: string, member: 'batch_ids' | 'object_ids'): Problem {
  const [first = ''] = ids;
  const count = `${ids.length === ERRORS_LISTED_MAX ? 'at least ' : ''}${String(ids.length)}`;
  const others = ids.length === 1 ? '' : ` (${count} ids in all, see ${member})`;
  const detail = `"${first}" ${reason}${others}; nothing was restored.`;
  return new Problem('conflict', { detail, extra: { [member]: boundedIds(ids) } });
}

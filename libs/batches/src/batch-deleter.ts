import { AuditLog, boundedIds, IDS_MAX, type Actor } from '#audit';
import { Database, DISABLE_STATEMENT_TIMEOUT } from '#database';
import { checkPreconditions, Problem, type Preconditions } from '#http';
import { Config } from '#platform';
import { DeletionIds } from '#undelete';
import { Injectable } from '@nestjs/common';
import { batchNotFound } from './batch-reader.js';
import { batchEtag } from './batch-wire.js';
import { BatchWriteStore, type BatchTarget } from './batch-write.store.js';

/** Deletes batches. */
@Injectable()
export class BatchDeleter {
  constructor(
    private readonly store: BatchWriteStore,
    private readonly deletionIds: DeletionIds,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /**
   * Deletes a batch.
   * @returns the number of objects that were deleted with it
   * @throws Problem not-found; batch-not-empty unless `cascade`; precondition-failed, precondition-required
   */
  delete(target: BatchTarget, cascade: boolean, preconditions: Preconditions, actor: Actor): Promise<number> {
    return this.database.transaction(async (tx) => {
      // Deleting the objects of a large batch may take longer than the timeout.
      if (cascade) await tx.query(DISABLE_STATEMENT_TIMEOUT);
      // The lock of the batch keeps new objects out.
      const batch = await this.store.lock(tx, target);
      if (batch === null) throw batchNotFound();
      const count = Number(batch.object_count);
      // Before the preconditions, which do not apply to a request that fails without them (RFC 9110, section 13.2.1).
      if (count > 0 && !cascade) {
        throw new Problem('batch-not-empty', {
          detail: `The batch still has objects (${batch.object_count}); use cascade=true to delete them with it.`,
          extra: { object_count: count },
        });
      }
      checkPreconditions(preconditions, batchEtag(batch.revision), this.config.rules);
      const ids = count === 0 ? [] : await this.store.firstIds(tx, target, IDS_MAX);
      const [projectId, id] = target;
      await this.store.delete(tx, target, batch.seq, await this.deletionIds.next(tx, projectId));
      const details = { object_count: count, object_ids: boundedIds(ids) };
      await this.audit.append(tx, { projectId, actor, action: 'batch.delete', target: { type: 'batch', id }, details });
      return count;
    });
  }
}

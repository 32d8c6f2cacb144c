import { AuditLog, boundedIds, type Actor } from '#audit';
import { EncryptedKeys } from '#encryption';
import type { EncryptedKeyList, Filter } from '#filter';
import { Problem } from '#http';
import { type Count, Database, Sequence } from '#database';
import { DeletionIds } from '#undelete';
import { Injectable } from '@nestjs/common';
import { ObjectDeletionStore } from './object-deletion.store.js';

/** The most objects that one request deletes: about a second, in which their batches are locked. */
export const DELETE_OBJECTS_MAX = 10_000;

interface DeletedObjects {
  count: number;
  firstIds: readonly string[];
}

/** What is deleted. */
interface MatchingObjects {
  filter: Filter;
  /** @throws Problem where the filter needs the values of these keys */
  requireSearchable: (encrypted: EncryptedKeyList) => void;
}

const NONE: DeletedObjects = { count: 0, firstIds: [] };

/** Deletes the objects that a filter matches. */
@Injectable()
export class ObjectDeletion {
  constructor(
    private readonly store: ObjectDeletionStore,
    private readonly deletionIds: DeletionIds,
    private readonly encryption: EncryptedKeys,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
  ) {}

  /**
   * Deletes the matching objects in one transaction. Objects that begin to match while it runs may remain.
   * @param maxAffected the most objects that may match
   * @returns the number of deleted objects, and the first of their ids
   * @throws Problem max-affected-exceeded, and that of `requireSearchable`; nothing is deleted then
   */
  async deleteMatching(
    projectId: number,
    { filter, requireSearchable }: MatchingObjects,
    maxAffected: number,
    actor: Actor,
  ): Promise<DeletedObjects> {
    return this.database.transaction(async (tx) => {
      await this.store.limitStatements(tx);
      const seqs = await this.store.find(tx, projectId, filter, maxAffected + 1);
      if (seqs.length > maxAffected) {
        throw tooMany(await this.store.count(tx, projectId, filter, seqs.length), maxAffected);
      }
      if (seqs.length === 0) return NONE;
      // Every change locks the batch first. Objects that changed before are compared with the filter again, under the lock.
      await this.store.lockBatchesOf(tx, projectId, seqs);
      const revision = this.sequence.next();
      const deletionId = await this.deletionIds.next(tx, projectId);
      const { count, ids } = await this.store.delete(tx, projectId, filter, { seqs, revision, deletionId });
      // What the filter compared may have been encrypted since it was checked, also by a server that knew of the list sooner.
      requireSearchable(await this.encryption.readUnsearchableKeys(projectId, tx));
      if (count === 0) return NONE;
      const firstIds = boundedIds(ids);
      const details = { object_count: count, object_ids: firstIds };
      await this.audit.append(tx, { projectId, actor, action: 'objects.delete', details });
      return { count, firstIds };
    });
  }
}

function tooMany(matching: Count, maxAffected: number): Problem {
  const { count } = matching;
  const isExact = 'count_is' in matching && matching.count_is === 'exact';
  const detail = `${isExact ? '' : 'At least '}${String(count)} objects match, more than max_affected (${String(maxAffected)}); nothing was deleted.`;
  return new Problem('max-affected-exceeded', { detail, extra: { ...matching } });
}

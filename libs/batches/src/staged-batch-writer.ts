import { isUniqueViolation, Sequence, type Queryable, type Transaction } from '#database';
import { EncryptedKeys } from '#encryption';
import { Config } from '#platform';
import type { BatchRow } from '#store';
import { exceeds, NO_CHANGE, QuotaStore, STAGED_UNCHECKED, type UsageChange } from '#usage';
import { Injectable } from '@nestjs/common';
import { conflictProblem, differentContent, rejectConflicts, requirePreconditions } from './batch-conflicts.js';
import { targetOf, type BatchWrite, type RejectedObjects } from './batch-input.js';
import type { BatchResult } from './batch-response.js';
import {
  BatchWriteStore,
  type BatchTarget,
  type Conflict,
  type ConflictScope,
  type LockedBatch,
  type SeqRange,
  type StagedCounts,
} from './batch-write.store.js';
import { stagedRows } from './copy-rows.js';
import { OpenedBatch } from './opened-batch.js';
import type { InputReader } from './input-reader.js';

/** Attempts where another transaction takes an id while the staged objects are being inserted. */
const CONFLICT_ATTEMPTS = 3;

/**
 * Writes a batch that may exist, or of which some objects may be left out: copies it into a temporary table, compares it with what is
 * stored, and then inserts what is missing.
 */
@Injectable()
export class StagedBatchWriter {
  constructor(
    private readonly store: BatchWriteStore,
    private readonly sequence: Sequence,
    private readonly quotas: QuotaStore,
    private readonly encryption: EncryptedKeys,
    private readonly opened: OpenedBatch,
    private readonly config: Config,
  ) {}

  /** @returns null where the batch is not valid */
  async write(tx: Transaction, write: BatchWrite, reader: InputReader): Promise<BatchResult | null> {
    return (await this.stage(tx, write, reader)) ? this.storeStaged(tx, write, reader.rejected) : null;
  }

  /**
   * Copies the batch into a temporary table, to compare it with the stored one.
   * @returns false where it is not valid
   * @throws Problem quota-exceeded where the batch alone is larger than the limit, also where some of it would not be stored
   */
  private async stage(tx: Transaction, write: BatchWrite, reader: InputReader): Promise<boolean> {
    await this.store.createStage(tx);
    let copy = this.store.copyStaged(tx);
    const staged = { ...NO_CHANGE };
    let most: UsageChange = STAGED_UNCHECKED;
    for (let objects = await reader.next(); objects !== null; objects = await reader.next()) {
      if (objects.length === 0) continue;
      const sealed = await this.encryption.sealObjects(write.projectId, objects);
      const { rows, bytes } = stagedRows(this.sequence.next(objects.length), sealed);
      staged.objects += objects.length;
      staged.bytes += bytes;
      if (exceeds(staged, most)) {
        await copy.end();
        most = await this.quotas.requireTotal(tx, write.projectId, staged);
        copy = this.store.copyStaged(tx);
      }
      await copy.write(rows);
    }
    if (reader.isInvalid) return false;
    await copy.end();
    return true;
  }

  private async storeStaged(tx: Transaction, write: BatchWrite, rejected: RejectedObjects): Promise<BatchResult> {
    const target = targetOf(write);
    // Locked only now, so that other requests do not wait for a client that is still sending.
    for (;;) {
      if (await this.store.create(tx, target, this.sequence.next())) {
        requirePreconditions(write, null, this.config.rules);
        return this.insertStaged(tx, write, rejected);
      }
      const existing = await this.store.lock(tx, target);
      // It may be deleted between the two statements.
      if (existing === null) continue;
      requirePreconditions(write, existing, this.config.rules);
      return this.merge(tx, write, existing, rejected);
    }
  }

  /** Stores a staged batch that is new. */
  private async insertStaged(tx: Queryable, write: BatchWrite, rejected: RejectedObjects): Promise<BatchResult> {
    const scope = write.ifExists === 'skip' ? 'none' : 'any';
    const { added, addedSeqs, staged } = await this.addStaged(tx, write, scope, rejected);
    const batch = await this.finish(tx, write, { added: added.objects, addedSeqs, digest: null });
    const counts = countsOf(added, staged);
    return { kind: 'created', batch, ...counts, rejected, change: added, addedSeqs, hasOtherObjects: false };
  }

  /** Stores a staged batch that exists. */
  private async merge(
    tx: Queryable,
    write: BatchWrite,
    existing: LockedBatch,
    rejected: RejectedObjects,
  ): Promise<BatchResult> {
    const { ifExists, batchId, input, isPartial } = write;
    const target = targetOf(write);
    if (ifExists === 'reject') {
      const conflicts = await this.store.conflicts(tx, target, 'any');
      const error = { pointer: '/batch_id', detail: `"${batchId}" exists already` };
      throw conflictProblem(conflicts, input, [error]);
    }
    if (ifExists === 'skip') return this.extend(tx, write, existing, rejected);
    // Before the comparison, so that the same part again is unchanged.
    if (isPartial) rejectConflicts(rejected, await this.removeConflicts(tx, write, 'of other batches'), input);
    // The stored objects are not read where their number differs.
    const hasSameCount = (await this.store.countStaged(tx)) === Number(existing.object_count);
    const digest = hasSameCount ? await this.store.digestStaged(tx) : null;
    if (digest !== null && (await this.isStored(tx, target, existing, digest))) {
      const stored = Number(existing.object_count);
      return {
        kind: 'unchanged',
        batch: existing,
        stored,
        skipped: 0,
        rejected,
        change: NO_CHANGE,
        addedSeqs: null,
        hasOtherObjects: false,
      };
    }
    if (ifExists === 'compare') throw differentContent(batchId);
    const cleared = await this.store.clear(tx, target, this.sequence.next());
    const rejectedBefore = rejected.objects;
    const { added, addedSeqs } = await this.addStaged(tx, write, 'any', rejected);
    const isWhole = rejected.objects === rejectedBefore;
    const batch = await this.finish(tx, write, { added: added.objects, addedSeqs, digest: isWhole ? digest : null });
    const change = { objects: added.objects - cleared.objects, bytes: added.bytes - cleared.bytes };
    const oldObjectCount = Number(existing.object_count);
    return {
      kind: 'replaced',
      batch,
      stored: added.objects,
      skipped: 0,
      rejected,
      change,
      addedSeqs,
      hasOtherObjects: false,
      oldObjectCount,
    };
  }

  /** Adds the staged objects that do not exist. Reads none of the other objects of the batch, which may be many. */
  private async extend(
    tx: Queryable,
    write: BatchWrite,
    existing: BatchRow,
    rejected: RejectedObjects,
  ): Promise<BatchResult> {
    const { added, addedSeqs, staged } = await this.addStaged(tx, write, 'none', rejected);
    const isUnchanged = added.objects === 0;
    const kind = isUnchanged ? 'unchanged' : 'extended';
    const batch = isUnchanged
      ? existing
      : await this.finish(tx, write, { added: added.objects, addedSeqs, digest: null });
    return { kind, batch, ...countsOf(added, staged), rejected, change: added, addedSeqs, hasOtherObjects: true };
  }

  /** Whether the staged objects, of which this is the digest, are those of the batch. */
  private async isStored(tx: Queryable, target: BatchTarget, existing: LockedBatch, digest: Buffer): Promise<boolean> {
    const storedDigest = existing.digest ?? (await this.store.digestStored(tx, target));
    return digest.equals(storedDigest) || this.opened.isSame(tx, target);
  }

  private finish(
    tx: Queryable,
    write: BatchWrite,
    added: { added: number; addedSeqs: SeqRange; digest: Buffer | null },
  ): Promise<BatchRow> {
    return this.store.finish(tx, targetOf(write), { ...added, revision: this.sequence.next() });
  }

  /**
   * Inserts the staged objects, without conflicts where the batch may be stored in part.
   * @returns how many were added, and how many were staged: with `skip` also existing ones
   */
  private async addStaged(
    tx: Queryable,
    write: BatchWrite,
    scope: ConflictScope,
    rejected: RejectedObjects,
  ): Promise<StagedCounts> {
    for (let attempt = 1; ; attempt++) {
      await tx.query('SAVEPOINT adding');
      const conflicts = await this.removeConflicts(tx, write, scope);
      try {
        const counts = await this.store.insertStaged(tx, targetOf(write), scope === 'none');
        rejectConflicts(rejected, conflicts, write.input);
        return counts;
      } catch (error) {
        // Another transaction has taken one of the ids; now the conflict can be found.
        if (!isUniqueViolation(error) || attempt === CONFLICT_ATTEMPTS) throw error;
        await tx.query('ROLLBACK TO SAVEPOINT adding');
      }
    }
  }

  /** Removes staged objects with a conflict. @throws Problem conflict, unless the batch may be stored in part */
  private async removeConflicts(tx: Queryable, write: BatchWrite, scope: ConflictScope): Promise<Conflict[]> {
    const conflicts = await this.store.conflicts(tx, targetOf(write), scope);
    if (conflicts.length > 0 && !write.isPartial) throw conflictProblem(conflicts, write.input);
    if (conflicts.length > 0) await this.store.removeConflicts(tx, targetOf(write), scope);
    return conflicts;
  }
}

/** @param staged also those that exist, which only `skip` allows */
function countsOf(added: UsageChange, staged: number): { stored: number; skipped: number } {
  return { stored: added.objects, skipped: staged - added.objects };
}

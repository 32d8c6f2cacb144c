import { AuditLog } from '#audit';
import { checkPreconditions, Problem, setObjectsRead } from '#http';
import { WriteSlots, type Receipt, type ReleaseSlot, type WriteResponse } from '#jobs';
import { Config } from '#platform';
import { Database, isUniqueViolation, Sequence, type Queryable, type Transaction } from '#database';
import { SegmentStore } from '#inverted-index';
import { sizeOf, type BatchRow } from '#store';
import { exceeds, isShareUsedUp, NO_CHANGE, QuotaStore, UNLIMITED, UsageStore, type UsageChange } from '#usage';
import { Injectable } from '@nestjs/common';
import { conflictProblem, differentContent, rejectConflicts } from './batch-conflicts.js';
import type { BatchWrite, RejectedObjects } from './batch-input.js';
import type { BatchObject } from './batch-object.js';
import { batchResponse, type BatchResult } from './batch-response.js';
import { batchEtag } from './batch-wire.js';
import {
  BatchWriteStore,
  type BatchTarget,
  type Conflict,
  type ConflictScope,
  type SeqRange,
  type StagedCounts,
} from './batch-write.store.js';
import { InputReader } from './input-reader.js';
import { stagedRows } from './copy-rows.js';
import { IdsCopyIn } from './ids-copy-in.js';
import { ObjectsCopyIn } from './objects-copy-in.js';

/** Larger batches are copied; smaller ones are inserted in one statement and one round trip (docs/decisions/008). */
const INSERT_OBJECTS_MAX = 200;
/** Staged without a comparison with the limits of the project, so that a small batch needs no further query. */
const STAGED_UNCHECKED: UsageChange = { objects: 20_000, bytes: 64 * 1024 * 1024 };
/** Attempts where another transaction takes or frees an id while a batch is being stored. */
const CONFLICT_ATTEMPTS = 3;

/** Nothing was stored: the batch is not valid, or an id that existed does not exist any more, so another attempt may succeed. */
type NotStored = { kind: 'invalid' } | { kind: 'retry' };

/** Writes batches: parse and validate, plan, store, respond. See docs/decisions/009. */
@Injectable()
export class BatchWriter {
  constructor(
    private readonly store: BatchWriteStore,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly usage: UsageStore,
    private readonly quotas: QuotaStore,
    private readonly segments: SegmentStore,
    private readonly slots: WriteSlots,
    private readonly config: Config,
  ) {}

  /**
   * @throws Problem malformed-request, invalid-body, too-large; conflict with every id that exists; precondition-failed,
   *   precondition-required; unavailable
   */
  async write(write: BatchWrite, receipt?: Receipt): Promise<WriteResponse> {
    // A stream that has arrived is read only when it is written, so that those that wait hold no part of it in memory.
    const releaseWriteSlot = write.input.source === 'received' ? await this.acquireWriteSlot(write) : null;
    try {
      return await this.readAndWrite(write, receipt);
    } finally {
      releaseWriteSlot?.();
    }
  }

  private async readAndWrite(write: BatchWrite, receipt: Receipt | undefined): Promise<WriteResponse> {
    const { input, isPartial, projectId } = write;
    const reader = await InputReader.open(input, isPartial ? this.config.limits.batchObjectsMax : 0, projectId);
    try {
      return await this.writeFrom(reader, write, receipt);
    } catch (error) {
      setObjectsRead(error, reader.objectCount);
      throw error;
    }
  }

  private async writeFrom(
    reader: InputReader,
    write: BatchWrite,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    if (reader.isInvalid) throw await reader.readErrors();

    const small = await this.insertSmall(write, reader, receipt);
    if (small !== null) return small;

    // A job is one of few that run at a time; a stream has a slot already.
    const releaseWriteSlot = write.input.source === 'memory' ? await this.acquireWriteSlot(write) : null;
    let response: WriteResponse | null;
    try {
      response = await this.storeWithRetries(write, reader, receipt);
    } finally {
      releaseWriteSlot?.();
    }
    // The rest of an invalid batch is validated without a connection, and that of a JSON body without a slot.
    if (response === null) throw await reader.readErrors();
    return response;
  }

  private acquireWriteSlot({ projectId, releaseSlot }: BatchWrite): Promise<ReleaseSlot> {
    // It would be missing for other requests of the project while this one waits.
    releaseSlot?.();
    return this.slots.acquire(projectId);
  }

  /**
   * Stores a small batch in one statement.
   * @returns null where it is not small, or the transaction has to find out what it conflicts with
   */
  private async insertSmall(
    write: BatchWrite,
    { onlyChunk, rejected }: InputReader,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse | null> {
    if (onlyChunk === null || onlyChunk.length > INSERT_OBJECTS_MAX) return null;
    if (!canInsert(write, receipt) || this.quotas.isNearLimit(write.projectId)) return null;
    const result = await this.insert(write, onlyChunk, rejected);
    return result === null ? null : batchResponse(write, result);
  }

  /** Null where an id exists, or the project may be near its limit. */
  private async insert(
    { projectId, batchId }: BatchWrite,
    objects: readonly BatchObject[],
    rejected: RejectedObjects,
  ): Promise<BatchResult | null> {
    const count = objects.length;
    const seq = this.sequence.next(Math.max(count, 1));
    try {
      await this.store.insert([projectId, batchId], seq, objects);
    } catch (error) {
      if (isUniqueViolation(error) || isShareUsedUp(error)) return null;
      throw error;
    }
    const text = seq.toString();
    const batch = { seq: text, revision: text, batch_id: batchId, object_count: String(count) };
    // The statement has added them to the usage.
    return { kind: 'created', batch, stored: count, skipped: 0, rejected, change: NO_CHANGE, hasOtherObjects: false };
  }

  /** Null where the batch is not valid. An input in memory is read again when the transaction lost a race or its connection. */
  private async storeWithRetries(
    write: BatchWrite,
    reader: InputReader,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse | null> {
    const isRepeatable = write.input.source === 'memory';
    for (let attempt = 1; attempt <= (isRepeatable ? CONFLICT_ATTEMPTS : 1); attempt++) {
      const outcome = isRepeatable
        ? await this.database.retrying(async () => {
            await reader.rewind();
            return this.storeOnce(write, reader, receipt);
          })
        : await this.storeOnce(write, reader, receipt);
      if (outcome.kind === 'stored') return outcome.response;
      if (outcome.kind === 'invalid') return null;
    }
    throw new Problem('unavailable', {
      detail: 'An id of the batch was in use while it was stored; retry the request.',
    });
  }

  private storeOnce(
    write: BatchWrite,
    reader: InputReader,
    receipt: Receipt | undefined,
  ): Promise<{ kind: 'stored'; response: WriteResponse } | NotStored> {
    return this.database.transactionOnce(async (tx) => {
      await this.store.disableStatementTimeout(tx);
      const result = await this.storeIn(tx, write, reader);
      if (result.kind === 'invalid' || result.kind === 'retry') {
        tx.setRollbackOnly();
        return result;
      }
      const { stored, rejected } = result;
      if (reader.hasSubjects && result.kind !== 'unchanged') await this.store.invalidateRollups(tx, targetOf(write));
      if (write.isPartial && stored === 0 && rejected.objects > 0) {
        const detail = 'None of the objects can be stored; see errors.';
        throw new Problem('invalid-body', { detail, errors: rejected.listed, errorCount: rejected.count });
      }
      await this.usage.add(tx, write.projectId, result.change);
      const response = batchResponse(write, result);
      if (write.isDryRun) tx.setRollbackOnly();
      else {
        await receipt?.(tx, response);
        await this.recordReplacement(tx, write, result);
      }
      return { kind: 'stored', response };
    });
  }

  private async recordReplacement(tx: Queryable, write: BatchWrite, result: BatchResult): Promise<void> {
    if (result.kind !== 'replaced') return;
    const { projectId, batchId, actor } = write;
    const details = { old_object_count: result.oldObjectCount, object_count: Number(result.batch.object_count) };
    const target = { type: 'batch', id: batchId } as const;
    await this.audit.append(tx, { projectId, actor, action: 'batch.replace', target, details });
  }

  /** Plans how to store the batch, and stores it. */
  private async storeIn(tx: Transaction, write: BatchWrite, reader: InputReader): Promise<BatchResult | NotStored> {
    const target = targetOf(write);
    const mayCopy = !write.isPartial && write.ifExists !== 'skip';
    if (mayCopy && (await this.store.create(tx, target, this.sequence.next()))) {
      this.checkPreconditions(write, null);
      return this.copy(tx, write, reader);
    }
    if (!(await this.stage(tx, write, reader))) return { kind: 'invalid' };
    const result = await this.storeStaged(tx, write, reader.rejected);
    // Pending objects cost every query, so that only few of them may wait for the indexer.
    const isLarge = result.kind !== 'unchanged' && result.stored > INSERT_OBJECTS_MAX;
    if (isLarge && !write.isDryRun) await this.segments.indexBatchIn(tx, write.projectId, write.batchId);
    return result;
  }

  private async storeStaged(tx: Transaction, write: BatchWrite, rejected: RejectedObjects): Promise<BatchResult> {
    const target = targetOf(write);
    // Locked only now, so that other requests do not wait for a client that is still sending.
    for (;;) {
      if (await this.store.create(tx, target, this.sequence.next())) {
        this.checkPreconditions(write, null);
        return this.insertStaged(tx, write, rejected);
      }
      const existing = await this.store.lock(tx, target);
      // It may be deleted between the two statements.
      if (existing === null) continue;
      this.checkPreconditions(write, existing);
      return this.merge(tx, write, existing, rejected);
    }
  }

  private checkPreconditions({ preconditions }: BatchWrite, batch: BatchRow | null): void {
    if (preconditions === undefined) return;
    checkPreconditions(preconditions, batch && batchEtag(batch.revision), this.config.rules);
  }

  /** Copies a new batch into `objects`; in a dry run only its ids, to find conflicts. */
  private async copy(tx: Transaction, write: BatchWrite, reader: InputReader): Promise<BatchResult | NotStored> {
    const { onlyChunk } = reader;
    const first = onlyChunk === null ? { objects: 1, bytes: 1 } : sizeOf(onlyChunk);
    // Not only when the objects of a long stream have arrived.
    const room = first.objects === 0 ? UNLIMITED : await this.quotas.requireRoom(tx, write.projectId, first);
    const copy = write.isDryRun
      ? new IdsCopyIn(this.store, this.sequence, tx, write.projectId, this.quotas, room)
      : new ObjectsCopyIn(this.store, this.sequence, tx, write, this.quotas, this.segments, room);
    for (let objects = await reader.next(); objects !== null; objects = await reader.next()) await copy.write(objects);
    if (reader.isInvalid) return { kind: 'invalid' };
    await copy.end();
    if (copy.hasConflict || (write.isDryRun && copy.copied.objects > 0)) {
      const conflicts = await this.store.conflicts(tx, targetOf(write), 'any', true);
      if (conflicts.length > 0) throw conflictProblem(conflicts, write.input);
      // The error was no conflict, or the other object was deleted meanwhile.
      if (copy.failure !== undefined && !isUniqueViolation(copy.failure)) throw copy.failure;
      if (copy.hasConflict) return { kind: 'retry' };
    }
    const { objects } = copy.copied;
    const seqs = copy instanceof ObjectsCopyIn ? copy.seqs : null;
    const batch = await this.finish(tx, write, { added: objects, seqs, digest: null });
    const { rejected } = reader;
    return {
      kind: 'created',
      batch,
      stored: objects,
      skipped: 0,
      rejected,
      change: copy.copied,
      hasOtherObjects: false,
    };
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
      const { rows, bytes } = stagedRows(this.sequence.next(objects.length), objects);
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

  /** Stores a staged batch that is new. */
  private async insertStaged(tx: Queryable, write: BatchWrite, rejected: RejectedObjects): Promise<BatchResult> {
    const scope = write.ifExists === 'skip' ? 'none' : 'any';
    const { added, addedSeqs: seqs, staged } = await this.addStaged(tx, write, scope, rejected);
    const batch = await this.finish(tx, write, { added: added.objects, seqs, digest: null });
    return { kind: 'created', batch, ...countsOf(added, staged), rejected, change: added, hasOtherObjects: false };
  }

  /** Stores a staged batch that exists. */
  private async merge(
    tx: Queryable,
    write: BatchWrite,
    existing: BatchRow & { digest: Buffer | null },
    rejected: RejectedObjects,
  ): Promise<BatchResult> {
    const { ifExists, batchId, input, isPartial } = write;
    const target = targetOf(write);
    if (ifExists === 'reject') {
      const conflicts = await this.store.conflicts(tx, target, 'any');
      const error = { pointer: '/batch_id', detail: `"${batchId}" exists already` };
      throw conflictProblem(conflicts, input, [error]);
    }
    // Before the comparison, so that the same part again is unchanged.
    if (isPartial) {
      const scope = ifExists === 'skip' ? 'none' : 'of other batches';
      rejectConflicts(rejected, await this.removeConflicts(tx, write, scope), input);
    }
    const digest = await this.store.digestStaged(tx);
    if (digest.equals(existing.digest ?? (await this.store.digestStored(tx, target)))) {
      const count = Number(existing.object_count);
      const counts = ifExists === 'skip' ? { stored: 0, skipped: count } : { stored: count, skipped: 0 };
      return { kind: 'unchanged', batch: existing, ...counts, rejected, change: NO_CHANGE, hasOtherObjects: false };
    }
    if (ifExists === 'compare') throw differentContent(batchId);
    if (ifExists === 'replace') {
      const cleared = await this.store.clear(tx, target);
      const rejectedBefore = rejected.objects;
      const { added, addedSeqs: seqs } = await this.addStaged(tx, write, 'any', rejected);
      const isWhole = rejected.objects === rejectedBefore;
      const batch = await this.finish(tx, write, { added: added.objects, seqs, digest: isWhole ? digest : null });
      const change = { objects: added.objects - cleared.objects, bytes: added.bytes - cleared.bytes };
      const oldObjectCount = Number(existing.object_count);
      return {
        kind: 'replaced',
        batch,
        stored: added.objects,
        skipped: 0,
        rejected,
        change,
        hasOtherObjects: false,
        oldObjectCount,
      };
    }
    const { added, addedSeqs: seqs, staged } = await this.addStaged(tx, write, 'none', rejected);
    const kind = added.objects === 0 ? 'unchanged' : 'extended';
    const batch =
      added.objects === 0 ? existing : await this.finish(tx, write, { added: added.objects, seqs, digest: null });
    return { kind, batch, ...countsOf(added, staged), rejected, change: added, hasOtherObjects: true };
  }

  private finish(
    tx: Queryable,
    write: BatchWrite,
    added: { added: number; seqs: SeqRange; digest: Buffer | null },
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

/** Whether a small batch may be stored in one statement, which succeeds only where the batch does not exist. */
function canInsert({ isPartial, isDryRun, preconditions }: BatchWrite, receipt: Receipt | undefined): boolean {
  return receipt === undefined && !isPartial && !isDryRun && preconditions?.ifMatch === undefined;
}

/** @param staged also those that exist, which only `skip` allows */
function countsOf(added: UsageChange, staged: number): { stored: number; skipped: number } {
  return { stored: added.objects, skipped: staged - added.objects };
}

function targetOf({ projectId, batchId }: BatchWrite): BatchTarget {
  return [projectId, batchId];
}

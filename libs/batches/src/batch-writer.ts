import { AuditLog } from '#audit';
import { EncryptedKeys } from '#encryption';
import { Problem, setObjectsRead } from '#http';
import { WriteSlots, type Receipt, type WriteResponse } from '#jobs';
import { Config } from '#platform';
import {
  Database,
  DISABLE_STATEMENT_TIMEOUT,
  isUniqueViolation,
  Sequence,
  type Queryable,
  type Transaction,
} from '#database';
import { SegmentStore } from '#inverted-index';
import { sizeOf } from '#store';
import { isShareUsedUp, NO_CHANGE, QuotaStore, UNLIMITED, UsageStore } from '#usage';
import { Injectable } from '@nestjs/common';
import { conflictProblem, requirePreconditions } from './batch-conflicts.js';
import { targetOf, type BatchWrite, type RejectedObjects } from './batch-input.js';
import type { BatchObject } from './batch-object.js';
import { batchResponse, type BatchResult } from './batch-response.js';
import { BatchWriteStore } from './batch-write.store.js';
import { InputReader } from './input-reader.js';
import { IdsCopyIn } from './ids-copy-in.js';
import { ObjectsCopyIn } from './objects-copy-in.js';
import { StagedBatchWriter } from './staged-batch-writer.js';

/** Larger batches are copied; smaller ones are inserted in one statement and one round trip (docs/decisions/008). */
const INSERT_OBJECTS_MAX = 200;
/** Attempts where another transaction frees an id while a batch is being stored. */
const CONFLICT_ATTEMPTS = 3;

/** Nothing was stored: the batch is not valid, or an id that existed does not exist any more, so another attempt may succeed. */
type NotStored = { kind: 'invalid' } | { kind: 'retry' };

/**
 * Writes batches: parse and validate, plan, store, respond. A batch is stored in one statement, by a copy into `objects`, or by
 * `StagedBatchWriter`. See docs/decisions/009.
 */
@Injectable()
export class BatchWriter {
  constructor(
    private readonly store: BatchWriteStore,
    private readonly staged: StagedBatchWriter,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly usage: UsageStore,
    private readonly quotas: QuotaStore,
    private readonly segments: SegmentStore,
    private readonly slots: WriteSlots,
    private readonly encryption: EncryptedKeys,
    private readonly config: Config,
  ) {}

  /**
   * @throws Problem malformed-request, invalid-body, too-large; conflict with every id that exists; precondition-failed,
   *   precondition-required; unavailable
   */
  async write(write: BatchWrite, receipt?: Receipt): Promise<WriteResponse> {
    // A stream that has arrived is read only when it is written, so that those that wait hold no part of it in memory.
    const releaseWriteSlot = write.input.source === 'received' ? await this.slots.acquire(write) : null;
    try {
      return await this.readAndWrite(write, receipt);
    } finally {
      releaseWriteSlot?.();
    }
  }

  private async readAndWrite(write: BatchWrite, receipt: Receipt | undefined): Promise<WriteResponse> {
    const { input, isPartial, projectId } = write;
    await this.encryption.requireLists();
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
    const releaseWriteSlot = write.input.source === 'memory' ? await this.slots.acquire(write) : null;
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
    const result = await this.insert(write, await this.encryption.sealObjects(write.projectId, onlyChunk), rejected);
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
    // The statement has added them to the usage, and invalidated the rollups.
    return {
      kind: 'created',
      batch,
      stored: count,
      skipped: 0,
      rejected,
      change: NO_CHANGE,
      addedSeqs: null,
      hasOtherObjects: false,
    };
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
      // A stream is written for as long as its client sends; the minimum rate of its body bounds that time.
      await tx.query(DISABLE_STATEMENT_TIMEOUT);
      const result = await this.storeIn(tx, write, reader);
      if (result.kind === 'invalid' || result.kind === 'retry') {
        tx.setRollbackOnly();
        return result;
      }
      const { stored, skipped, rejected, addedSeqs } = result;
      if (reader.hasSubjects && addedSeqs !== null) {
        await this.store.invalidateRollups(tx, targetOf(write), addedSeqs);
      }
      if (write.isPartial && stored + skipped === 0 && rejected.objects > 0) {
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

  /** A new batch is copied, unless some of its objects may be left out; any other one is staged. */
  private async storeIn(tx: Transaction, write: BatchWrite, reader: InputReader): Promise<BatchResult | NotStored> {
    const target = targetOf(write);
    const mayCopy = !write.isPartial && write.ifExists !== 'skip';
    if (mayCopy && (await this.store.create(tx, target, this.sequence.next()))) {
      requirePreconditions(write, null, this.config.rules);
      return this.copy(tx, write, reader);
    }
    const result = await this.staged.write(tx, write, reader);
    if (result === null) return { kind: 'invalid' };
    // Pending objects cost every query, so that only few of them may wait for the indexer.
    const isLarge = result.kind !== 'unchanged' && result.stored > INSERT_OBJECTS_MAX;
    if (isLarge && !write.isDryRun) await this.segments.indexBatchesIn(tx, write.projectId, [write.batchId]);
    return result;
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
    for (let objects = await reader.next(); objects !== null; objects = await reader.next()) {
      await copy.write(await this.encryption.sealObjects(write.projectId, objects));
    }
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
    const addedSeqs = copy instanceof ObjectsCopyIn ? copy.seqs : null;
    const batch = await this.store.finish(tx, targetOf(write), {
      added: objects,
      addedSeqs,
      digest: null,
      revision: this.sequence.next(),
    });
    const { rejected } = reader;
    return {
      kind: 'created',
      batch,
      stored: objects,
      skipped: 0,
      rejected,
      change: copy.copied,
      addedSeqs,
      hasOtherObjects: false,
    };
  }
}

/** Whether a small batch may be stored in one statement, which succeeds only where the batch does not exist. */
function canInsert({ isPartial, isDryRun, preconditions }: BatchWrite, receipt: Receipt | undefined): boolean {
  return receipt === undefined && !isPartial && !isDryRun && preconditions?.ifMatch === undefined;
}

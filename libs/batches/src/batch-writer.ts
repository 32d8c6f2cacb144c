import { setImmediate } from 'node:timers/promises';
import { Database, isUniqueViolation, Sequence, type Queryable, type Transaction } from '#database';
import { Problem } from '#http';
import { Injectable } from '@nestjs/common';
import { ConflictGone, conflictProblem, otherContent, reject } from './batch-conflicts.js';
import { BatchPour } from './batch-pour.js';
import { stagedRows } from './batch-rows.js';
import { BadInput, type BatchSource, type CheckedObject, type Chunks, type Rejected } from './batch-source.js';
import { BatchStore } from './batch.store.js';
import { BatchWriteStore, type Conflict, type InTheWay, type LockedBatch } from './batch-write.store.js';
import type { BatchRow, Note } from '#store';
import { WriteSlots } from './write-slots.js';

/** More objects are copied, fewer inserted in one statement and one round trip; docs/decisions/008. */
const INSERT_OBJECTS_MAX = 200;
/** How often an insert is tried whose conflict was gone when we looked. */
const CONFLICT_RETRIES = 3;

export interface BatchWrite {
  projectId: number;
  batchId: string;
  source: BatchSource;
  /** What to do where the batch exists: refuse it, or compare and then refuse, replace, or add what is missing. */
  ifExists: 'refuse' | 'compare' | 'replace' | 'skip';
  /** Store the good objects and leave out the others. */
  partial: boolean;
  /** Do it, tell what came of it, and undo it. */
  dryRun: boolean;
}

export interface BatchResult {
  kind: 'created' | 'unchanged' | 'replaced' | 'extended';
  batch: BatchRow;
  /** Objects of this write that are in the store now. */
  stored: number;
  rejected: Rejected;
}

/** Stores batches: new ones, the same again, others in their place; all or nothing, or in part. See docs/decisions/008. */
@Injectable()
export class BatchWriter {
  constructor(
    private readonly batches: BatchStore,
    private readonly store: BatchWriteStore,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly slots: WriteSlots,
  ) {}

  /** @throws Problem of the source; conflict naming the ids in the way; invalid-body where no object of a part was good */
  async write(write: BatchWrite, note?: Note<BatchResult>): Promise<BatchResult> {
    const { source } = write;
    try {
      const isSmall = source.count !== undefined && source.count <= INSERT_OBJECTS_MAX;
      if (isSmall && note === undefined && !write.dryRun && !write.partial) {
        const inserted = await this.insert(write);
        if (inserted !== null) return inserted;
      }
      if (source.reading === 'again') {
        return await this.slots.forBatch(write.projectId, () => this.repeat(write, note));
      }
      const work = await this.prepare(write, note);
      const once = (): Promise<BatchResult> => this.database.transactionOnce(work);
      return await (source.reading === 'slow' ? this.slots.forStream(write.projectId, once) : once());
    } catch (error) {
      if (error instanceof Undone) return error.result;
      if (error instanceof BadInput) return this.write({ ...write, source: await error.readOn() }, note);
      throw error;
    }
  }

  private async repeat(write: BatchWrite, note: Note<BatchResult> | undefined): Promise<BatchResult> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.database.retrying(async () => this.database.transactionOnce(await this.prepare(write, note)));
      } catch (error) {
        if (!(error instanceof ConflictGone) || attempt === CONFLICT_RETRIES) throw error;
      }
    }
  }

  /** What is to be done in a transaction; none is opened before the first objects have come and are good. */
  private async prepare(
    write: BatchWrite,
    note: Note<BatchResult> | undefined,
  ): Promise<(tx: Transaction) => Promise<BatchResult>> {
    const chunks = await primed(write.source.chunks());
    return undoing(write, (tx) => this.run(tx, write, chunks, note));
  }

  /** The way of most batches; null when an id exists, to go the long way, which finds out which. */
  private async insert({ projectId, batchId, source }: BatchWrite): Promise<BatchResult | null> {
    const objects = [...(source.chunks() as Iterable<CheckedObject[]>)].flat();
    const count = objects.length;
    const seq = this.sequence.next(Math.max(count, 1));
    try {
      await this.batches.insert(projectId, batchId, seq, objects);
    } catch (error) {
      if (isUniqueViolation(error)) return null;
      throw error;
    }
    const text = seq.toString();
    const batch = { seq: text, revision: text, batch_id: batchId, object_count: String(count) };
    return { kind: 'created', batch, stored: count, rejected: source.rejected };
  }

  private async run(
    tx: Transaction,
    write: BatchWrite,
    chunks: Chunks,
    note: Note<BatchResult> | undefined,
  ): Promise<BatchResult> {
    const { projectId, batchId, source, partial } = write;
    const seen = { subjects: false };
    await this.store.prepare(tx);
    const mayPour = !partial && write.ifExists !== 'skip';
    const isPoured = mayPour && (await this.store.claim(tx, projectId, batchId, this.sequence.next()));
    let result: BatchResult;
    if (isPoured) {
      const stored = await this.pour(tx, write, watched(chunks, seen));
      const batch = await this.finish(tx, write, stored, null);
      result = { kind: 'created', batch, stored, rejected: source.rejected };
    } else {
      await this.stage(tx, watched(chunks, seen));
      // Only now: nobody has to wait for a client that is still sending.
      const existing = await this.claimOrLock(tx, projectId, batchId);
      const rejected = source.rejected.copy();
      result = await (existing === null ? this.create(tx, write, rejected) : this.merge(tx, write, existing, rejected));
    }
    if (seen.subjects && result.kind !== 'unchanged') await this.store.mark(tx, projectId, batchId);
    const { rejected } = result;
    if (partial && result.stored === 0 && rejected.objects > 0) {
      const { errors, errorCount } = rejected;
      throw new Problem('invalid-body', {
        detail: 'None of the objects can be stored; see errors.',
        errors,
        errorCount,
      });
    }
    // That of a dry run would be undone with it.
    if (!write.dryRun) await note?.(tx, result);
    return result;
  }

  private async claimOrLock(tx: Queryable, projectId: number, batchId: string): Promise<LockedBatch | null> {
    // It may be deleted between the two.
    for (;;) {
      if (await this.store.claim(tx, projectId, batchId, this.sequence.next())) return null;
      const locked = await this.store.lock(tx, projectId, batchId);
      if (locked !== null) return locked;
    }
  }

  /** Copies the objects of a new batch into the table. @returns how many */
  private async pour(tx: Transaction, write: BatchWrite, chunks: Chunks): Promise<number> {
    const pour = new BatchPour(this.store, this.sequence, tx, write);
    await pour.takeAll(chunks);
    if (!pour.isBlocked) return pour.stored;
    const conflicts = await this.store.conflicts(tx, [write.projectId, write.batchId], 'any', true);
    if (conflicts.length > 0) throw conflictProblem(conflicts, write.source);
    throw new ConflictGone('unavailable', {
      detail: 'An id was taken for a moment while this was stored; send it again.',
    });
  }

  /** Copies objects beside the table, where they can be compared with what is in it. */
  private async stage(tx: Transaction, chunks: Chunks): Promise<void> {
    await this.store.stage(tx);
    const copy = this.store.copyStaged(tx);
    try {
      for await (const chunk of chunks) await copy.write(stagedRows(this.sequence.next(chunk.length), chunk));
      await copy.end();
    } catch (error) {
      copy.giveUp();
      throw error;
    }
  }

  private async create(tx: Queryable, write: BatchWrite, rejected: Rejected): Promise<BatchResult> {
    const inTheWay = write.ifExists === 'skip' ? 'none' : 'any';
    const { added, kept } = await this.addStaged(tx, write, inTheWay, rejected);
    return { kind: 'created', batch: await this.finish(tx, write, added, null), stored: kept, rejected };
  }

  private async merge(
    tx: Queryable,
    write: BatchWrite,
    existing: LockedBatch,
    rejected: Rejected,
  ): Promise<BatchResult> {
    const { projectId, batchId, ifExists } = write;
    if (ifExists === 'refuse') await this.refuseAll(tx, write);
    // First, so that a part that is put again is the same again.
    if (write.partial) {
      const conflicts = await this.leaveOut(tx, write, ifExists === 'skip' ? 'none' : 'of other batches');
      reject(rejected, conflicts, write.source);
    }
    const digest = await this.store.digestStaged(tx);
    const stored = existing.digest ?? (await this.store.digestStored(tx, projectId, batchId));
    if (digest.equals(stored)) {
      return { kind: 'unchanged', batch: existing, stored: Number(existing.object_count), rejected };
    }
    if (ifExists === 'compare') throw otherContent(batchId);
    if (ifExists === 'replace') {
      await this.store.empty(tx, projectId, batchId, this.sequence.next());
      const before = rejected.objects;
      const { added } = await this.addStaged(tx, write, 'any', rejected);
      const isWhole = rejected.objects === before;
      const batch = await this.finish(tx, write, added, isWhole ? digest : null);
      return { kind: 'replaced', batch, stored: added, rejected };
    }
    const { added, kept } = await this.addStaged(tx, write, 'none', rejected);
    if (added === 0) return { kind: 'unchanged', batch: existing, stored: kept, rejected };
    return { kind: 'extended', batch: await this.finish(tx, write, added, null), stored: kept, rejected };
  }

  private finish(
    tx: Queryable,
    { projectId, batchId }: BatchWrite,
    added: number,
    digest: Buffer | null,
  ): Promise<BatchRow> {
    return this.store.finish(tx, [projectId, batchId], { added, revision: this.sequence.next(), digest });
  }

  /**
   * Inserts what is staged, without what is in the way where a part will do.
   * @returns how many were added, and how many are there now: with `skip` also those that were there before
   */
  private async addStaged(
    tx: Queryable,
    write: BatchWrite,
    inTheWay: InTheWay,
    rejected: Rejected,
  ): Promise<{ added: number; kept: number }> {
    for (let attempt = 1; ; attempt++) {
      await tx.query('SAVEPOINT adding');
      const conflicts = await this.leaveOut(tx, write, inTheWay);
      try {
        const counts = await this.store.insertStaged(tx, write.projectId, write.batchId, inTheWay === 'none');
        reject(rejected, conflicts, write.source);
        return counts;
      } catch (error) {
        // Another transaction took one of the ids since we looked; now it is there to be found.
        if (!isUniqueViolation(error) || attempt === CONFLICT_RETRIES) throw error;
        await tx.query('ROLLBACK TO SAVEPOINT adding');
      }
    }
  }

  /** Takes off the stage what is in the way. @throws Problem conflict, unless a part will do */
  private async leaveOut(
    tx: Queryable,
    { projectId, batchId, source, partial }: BatchWrite,
    inTheWay: InTheWay,
  ): Promise<Conflict[]> {
    const target = [projectId, batchId] as const;
    const conflicts = await this.store.conflicts(tx, target, inTheWay);
    if (conflicts.length > 0 && !partial) throw conflictProblem(conflicts, source);
    if (conflicts.length > 0) await this.store.dropConflicts(tx, target, inTheWay);
    return conflicts;
  }

  /** For a batch that was to be made: names it and every object that exists. */
  private async refuseAll(tx: Queryable, { projectId, batchId, source }: BatchWrite): Promise<never> {
    const conflicts = await this.store.conflicts(tx, [projectId, batchId], 'any');
    throw conflictProblem(conflicts, source, [{ pointer: '/batch_id', detail: `"${batchId}" exists already` }]);
  }
}

/** Carries the result of a dry run out of the transaction that it rolls back. */
class Undone extends Error {
  override name = 'Undone';

  constructor(readonly result: BatchResult) {
    super('a dry run');
  }
}

function undoing(
  { dryRun }: BatchWrite,
  work: (tx: Transaction) => Promise<BatchResult>,
): (tx: Transaction) => Promise<BatchResult> {
  if (!dryRun) return work;
  return async (tx) => {
    throw new Undone(await work(tx));
  };
}

/** The same, and whether any object is about something: only those are summed up by the hour. */
async function* watched(chunks: Chunks, seen: { subjects: boolean }): AsyncIterable<CheckedObject[]> {
  for await (const chunk of chunks) {
    seen.subjects ||= chunk.some(({ subject }) => subject !== null);
    yield chunk;
  }
}

/**
 * The same, its first chunk read. Writing to the database may not wait for anything, so after each chunk others have their
 * turn.
 */
async function primed(chunks: Chunks): Promise<AsyncIterable<CheckedObject[]>> {
  const iterator = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  const first = await iterator.next();
  return (async function* () {
    for (let next = first; next.done !== true; next = await iterator.next()) {
      yield next.value;
      await setImmediate();
    }
  })();
}

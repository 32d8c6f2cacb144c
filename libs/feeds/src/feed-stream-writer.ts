import { AuditLog, IDS_MAX } from '#audit';
import { Database, isDeadlock, isUniqueViolation, type Queryable, type Transaction } from '#database';
import { Problem } from '#http';
import { SegmentStore } from '#inverted-index';
import { sizeOf, type NewObjectRow } from '#store';
import { exceeds, NO_CHANGE, QuotaStore, STAGED_UNCHECKED, UsageStore, type UsageChange } from '#usage';
import { Injectable } from '@nestjs/common';
import { FeedStreamStore } from './feed-stream.store.js';
import { replacementEntry, type FeedWrite } from './feed-write.js';
import { FeedWriter, RACE_ATTEMPTS } from './feed-writer.js';

/** What is known of a write before its objects arrive. */
export type FeedStream = Omit<FeedWrite, 'objects'>;

/** A stream may repeat readings, and is staged whole: it may have this many times what the project may store. */
const STAGED_TIMES = 10;

export interface StreamCounts {
  stored: number;
  /** Objects that existed, or appeared earlier in the stream. */
  replaced: number;
}

interface MergedStream extends StreamCounts {
  change: UsageChange;
  /** The number of objects whose stored content was another one, and the first of their ids. */
  changed: number;
  changedIds: string[];
}

/** Stores the objects of a stream of any length, all or none. */
@Injectable()
export class FeedStreamWriter {
  constructor(
    private readonly writer: FeedWriter,
    private readonly store: FeedStreamStore,
    private readonly usage: UsageStore,
    private readonly quotas: QuotaStore,
    private readonly segments: SegmentStore,
    private readonly audit: AuditLog,
    private readonly database: Database,
  ) {}

  /**
   * Objects are locked only when all of them have arrived, so that other requests do not wait for a client that is still sending.
   * @param stream the batch gets only objects of this stream, so that it is not locked for others
   * @param parts read once
   * @param work runs in the transaction after the objects are stored
   * @returns the result of the work
   * @throws Problem unavailable where races are lost repeatedly; quota-exceeded; the errors of the parts
   */
  write<T>(
    stream: FeedStream,
    parts: AsyncIterable<readonly NewObjectRow[]>,
    work: (tx: Queryable, counts: StreamCounts) => Promise<T>,
  ): Promise<T> {
    return this.database.transactionOnce(async (tx) => {
      await this.store.begin(tx);
      await this.stage(tx, stream.projectId, parts);
      const { change, changed, changedIds, ...counts } = await this.mergeWithRetries(tx, stream);
      await this.segments.indexBatchesIn(tx, stream.projectId, [stream.batchId]);
      await this.usage.add(tx, stream.projectId, change);
      const value = await work(tx, counts);
      await this.audit.append(tx, ...replacementEntry(stream, changed, changedIds));
      return value;
    });
  }

  /**
   * @throws Problem quota-exceeded where the stream alone has more than the limit and more than the project stores. Objects that later
   *   ones of the stream replace do not count, so that what is staged is read for each comparison; too-large where it has many of these
   */
  private async stage(
    tx: Transaction,
    projectId: number,
    parts: AsyncIterable<readonly NewObjectRow[]>,
  ): Promise<void> {
    const staged = { ...NO_CHANGE };
    let compareAbove: UsageChange = STAGED_UNCHECKED;
    for await (const objects of parts) {
      if (objects.length === 0) continue;
      await this.store.stage(tx, objects);
      const { objects: count, bytes } = sizeOf(objects);
      staged.objects += count;
      staged.bytes += bytes;
      if (!exceeds(staged, compareAbove)) continue;
      const last = await this.store.sizeOfLast(tx);
      const most = await this.quotas.requireTotal(tx, projectId, last);
      if (exceeds(staged, stagedMax(most))) throw tooManyRepeated();
      compareAbove = nextComparison(staged, last, most);
    }
  }

  private async mergeWithRetries(tx: Transaction, stream: FeedStream): Promise<MergedStream> {
    for (let attempt = 1; attempt <= RACE_ATTEMPTS; attempt++) {
      await tx.query('SAVEPOINT merge');
      try {
        const merged = await this.merge(tx, stream);
        if (merged !== null) return merged;
      } catch (error) {
        // An object of the stream was created meanwhile, or another stream has locked its batches in another order.
        if (!isUniqueViolation(error) && !isDeadlock(error)) throw error;
      }
      await tx.query('ROLLBACK TO SAVEPOINT merge');
    }
    throw new Problem('unavailable', { detail: 'The same objects are being changed by other requests; retry later.' });
  }

  /** Null where an object came into a batch that is not locked. */
  private async merge(tx: Transaction, stream: FeedStream): Promise<MergedStream | null> {
    const total: MergedStream = { stored: 0, replaced: 0, change: { ...NO_CHANGE }, changed: 0, changedIds: [] };
    for await (const objects of this.store.read(tx)) {
      const merged = await this.writer.mergeIn(tx, [{ ...stream, objects }], true);
      if (merged === null) return null;
      total.stored += objects.length;
      total.replaced += merged.results.filter((result) => result === 'replaced').length;
      total.change.objects += merged.change.objects;
      total.change.bytes += merged.change.bytes;
      for (const ids of merged.replacedIds) {
        total.changed += ids.size;
        total.changedIds.push(...[...ids].slice(0, IDS_MAX - total.changedIds.length));
      }
    }
    return total;
  }
}

/**
 * The next comparison follows when the remaining room may be used up, but not before as much as is unchecked at first, and a quarter of
 * the whole, more are staged: so all comparisons together read what is staged only a few times.
 */
function nextComparison(staged: UsageChange, last: UsageChange, most: UsageChange): UsageChange {
  const next = (quota: keyof UsageChange): number =>
    staged[quota] + Math.max(most[quota] - last[quota], STAGED_UNCHECKED[quota], staged[quota] / 4);
  return { objects: next('objects'), bytes: next('bytes') };
}

function stagedMax(most: UsageChange): UsageChange {
  const max = (quota: keyof UsageChange): number => STAGED_TIMES * most[quota] + STAGED_UNCHECKED[quota];
  return { objects: max('objects'), bytes: max('bytes') };
}

function tooManyRepeated(): Problem {
  return new Problem('too-large', {
    detail: `The stream repeats readings: in all it is larger than ${String(STAGED_TIMES)} times what the project may store. Divide it into several streams.`,
  });
}

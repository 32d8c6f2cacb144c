import { AuditLog } from '#audit';
import {
  Database,
  isDataError,
  isUniqueViolation,
  SEQ_STEP,
  Sequence,
  type Queryable,
  type Transaction,
} from '#database';
import { Problem } from '#http';
import { Config, ProjectSlots } from '#platform';
import { isShareUsedUp, NO_CHANGE, QuotaExceeded, QuotaStore, UsageStore, type UsageChange } from '#usage';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { sizeOf, type NewObjectRow } from '#store';
import {
  mergedWrite,
  overwrittenContents,
  replacedIdsOf,
  replacementEntries,
  resultsOf,
  type FeedWrite,
  type FeedWriteResult,
} from './feed-write.js';
import { FeedWriteStore } from './feed-write.store.js';

/** Limits of the writes that share a statement, in objects and characters; a larger write has a statement of its own. */
const SHARED_OBJECTS_MAX = 1_000;
const SHARED_LENGTH_MAX = 4 * 1024 * 1024;
/** Characters of one project that wait or are being stored. With more, writes are rejected: they would wait for long. */
const PROJECT_LENGTH_MAX = 32 * 1024 * 1024;
/** The same of all projects, so that the memory does not grow with their number. */
const TOTAL_LENGTH_MAX = 128 * 1024 * 1024;
/** Approximate number of characters of an object without its data. */
const OBJECT_LENGTH = 200;
/** Attempts where objects are created, moved or deleted while a write waits for the locks of their batches. */
export const RACE_ATTEMPTS = 5;
/** Statements and transactions for one project at a time. */
const STORING_PER_PROJECT = 2;

/** The results of a transaction, one for each object, and the ids of the objects whose content each write has replaced. */
interface Merged {
  results: FeedWriteResult[];
  /** What the transaction must add to the usage of the project. */
  change: UsageChange;
  replacedIds: ReadonlySet<string>[];
}

interface QueuedWrite {
  write: FeedWrite;
  /** Approximate number of characters. */
  length: number;
  resolve: (results: FeedWriteResult[]) => void;
  reject: (error: unknown) => void;
}

/**
 * Stores the objects of the feeds, which arrive singly and often many at once. Writes that arrive while others are being
 * stored share one statement and one commit, which costs little more than a statement of one object. A write never waits for
 * others that have not arrived. Each is durable before its response. See docs/decisions/012.
 */
@Injectable()
export class FeedWriter implements OnApplicationShutdown {
  /** The writes that wait while others are being stored, by project, batch and `ifExists`. */
  private readonly queues = new Map<string, QueuedWrite[]>();
  private readonly lengthByProject = new Map<number, number>();
  private totalLength = 0;
  private readonly draining = new Set<Promise<void>>();
  /** They limit the connections, because the requests of these writes take no slot of `RequestSlots`. */
  private readonly slots: ProjectSlots;

  constructor(
    private readonly store: FeedWriteStore,
    private readonly usage: UsageStore,
    private readonly quotas: QuotaStore,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
    { database: { sharedMax } }: Config,
  ) {
    const total = Math.max(2, Math.floor(sharedMax / 3));
    this.slots = new ProjectSlots({ total, perProject: Math.min(STORING_PER_PROJECT, Math.floor(total / 2)) });
  }

  /** Stores the objects, all or none. @returns one result for each object, in their order @throws Problem unavailable */
  write(write: FeedWrite): Promise<FeedWriteResult[]> {
    return new Promise((resolve, reject) => {
      const { projectId, batchId, ifExists, objects } = write;
      const key = JSON.stringify([projectId, batchId, ifExists]);
      const queue = this.queues.get(key) ?? [];
      if ((this.lengthByProject.get(projectId) ?? 0) > PROJECT_LENGTH_MAX || this.totalLength > TOTAL_LENGTH_MAX) {
        reject(new Problem('unavailable', { detail: 'Too many writes are waiting to be stored; retry later.' }));
        return;
      }
      const length = objects.reduce((sum, { data }) => sum + data.length + OBJECT_LENGTH, 0);
      this.addLength(projectId, length);
      const queued: QueuedWrite = {
        write,
        length,
        resolve: (results) => {
          this.addLength(projectId, -length);
          resolve(results);
        },
        reject: (error) => {
          this.addLength(projectId, -length);
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- passed on unchanged
          reject(error);
        },
      };
      if (queue.push(queued) > 1 || this.queues.has(key)) return;
      this.queues.set(key, queue);
      // After all received requests are read: otherwise the first of many would be stored alone while the others wait.
      setImmediate(() => {
        const drained = this.drain(projectId, key, queue).finally(() => this.draining.delete(drained));
        this.draining.add(drained);
      });
    });
  }

  /** Stores what is queued. The clients of these writes have left, because the server waits for open connections before. */
  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.draining);
  }

  /**
   * Stores the objects of some writes in a transaction of their own, runs the work in it after them, and records each write that
   * has replaced other content.
   * @param writes at least one, all with the same project, batch and `ifExists`
   * @returns the result of the work @throws Problem unavailable where races are lost repeatedly
   */
  async transaction<T>(
    writes: readonly FeedWrite[],
    work: (tx: Queryable, results: readonly FeedWriteResult[]) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; attempt <= RACE_ATTEMPTS; attempt++) {
      try {
        const done = await this.database.transaction(async (tx) => {
          const merged = await this.mergeIn(tx, writes);
          if (merged === null) {
            tx.setRollbackOnly();
            return null;
          }
          await this.usage.add(tx, mergedWrite(writes).projectId, merged.change);
          const value = await work(tx, merged.results);
          await this.audit.append(tx, ...replacementEntries(writes, merged.replacedIds));
          return { value };
        });
        if (done !== null) return done.value;
      } catch (error) {
        // An object of the write was created meanwhile.
        if (!isUniqueViolation(error)) throw error;
      }
    }
    throw new Problem('unavailable', { detail: 'The same objects are being changed by other requests; retry later.' });
  }

  /** Takes a slot for each group, so that a queue that never becomes empty does not block the others of its project. */
  private async drain(projectId: number, key: string, queue: QueuedWrite[]): Promise<void> {
    while (queue.length > 0) {
      await this.slots.run(projectId, () => this.storeGroup(takeGroup(queue)));
    }
    this.queues.delete(key);
  }

  private addLength(projectId: number, length: number): void {
    this.totalLength += length;
    const ofProject = (this.lengthByProject.get(projectId) ?? 0) + length;
    if (ofProject > 0) this.lengthByProject.set(projectId, ofProject);
    else this.lengthByProject.delete(projectId);
  }

  /** Never fails: each write is resolved or rejected. */
  private async storeGroup(group: readonly QueuedWrite[]): Promise<void> {
    try {
      const results = await this.storeAll(group.map(({ write }) => write));
      let start = 0;
      for (const { write, resolve } of group) resolve(results.slice(start, (start += write.objects.length)));
    } catch (error) {
      for (const part of await this.partsAfter(error, group)) await this.storeGroup(part);
    }
  }

  /**
   * The parts of a group to store after the whole failed; rejects the writes that fail for certain. Invalid data belongs to one
   * write, and a part of the group may have room; a lock or a lost connection affects all of them.
   */
  private async partsAfter(error: unknown, group: readonly QueuedWrite[]): Promise<(readonly QueuedWrite[])[]> {
    if (group.length > 1 && isDataError(error)) return group.map((one) => [one]);
    if (group.length > 1 && error instanceof QuotaExceeded) {
      const rest = await this.rejectLarger(error, group);
      // In halves: one by one, a group of a full project would be as many transactions as it has writes.
      const middle = Math.ceil(rest.length / 2);
      return [rest.slice(0, middle), rest.slice(middle)].filter((part) => part.length > 0);
    }
    for (const { reject } of group) reject(error);
    return [];
  }

  /** Rejects the writes of new objects that have no room even alone. @returns the others */
  private async rejectLarger(error: QuotaExceeded, group: readonly QueuedWrite[]): Promise<QueuedWrite[]> {
    const { projectId, objects } = mergedWrite(group.map(({ write }) => write));
    let existing: ReadonlySet<string>;
    try {
      const found = await this.store.existing(
        this.database,
        projectId,
        objects.map(({ objectId }) => objectId),
      );
      existing = new Set(found.map((one) => one.object_id));
    } catch (cause) {
      for (const { reject } of group) reject(cause);
      return [];
    }
    return group.filter(({ write, reject }) => {
      if (write.objects.some(({ objectId }) => existing.has(objectId))) return true;
      const own = error.of(sizeOf([...new Map(write.objects.map((one) => [one.objectId, one])).values()]));
      if (own !== null) reject(own);
      return own === null;
    });
  }

  /** Adds the objects in one statement; where one exists, or the project may be near its limit, merges them in a transaction. */
  private async storeAll(writes: readonly FeedWrite[]): Promise<readonly FeedWriteResult[]> {
    const write = mergedWrite(writes);
    const { projectId, batchId, objects } = write;
    if (hasDistinctIds(objects) && !this.quotas.isNearLimit(projectId)) {
      const seq = this.sequence.next(objects.length);
      try {
        await this.database.retrying(() => this.store.add([projectId, batchId], seq, objects));
        return objects.map(() => 'added');
      } catch (error) {
        if (!isUniqueViolation(error) && !isShareUsedUp(error)) throw error;
        if (await this.isStored(write, seq)) return objects.map(() => 'added');
      }
    }
    return this.transaction(writes, (_, results) => Promise.resolve(results));
  }

  /** Whether an earlier attempt, whose acknowledgement was lost, has stored the objects. */
  private async isStored({ projectId, objects }: FeedWrite, seq: bigint): Promise<boolean> {
    const ids = objects.map(({ objectId }) => objectId);
    const existing = await this.store.existing(this.database, projectId, ids);
    const seqs = new Map(existing.map((one) => [one.object_id, one.seq]));
    return ids.every((id, index) => seqs.get(id) === (seq + BigInt(index * SEQ_STEP)).toString());
  }

  /**
   * Adds, replaces or keeps each object, without the usage of the project.
   * @param isPart whether it is a part of a stream, whose objects later parts may replace: its room is not compared
   * @returns null where an object is in a batch that is not locked
   */
  async mergeIn(tx: Transaction, writes: readonly FeedWrite[], isPart = false): Promise<Merged | null> {
    const { projectId, batchId, objects, ifExists } = mergedWrite(writes);
    const unique = new Map<string, NewObjectRow>();
    for (const one of objects) if (ifExists === 'replace' || !unique.has(one.objectId)) unique.set(one.objectId, one);
    const ids = [...unique.keys()];
    const target = [projectId, batchId] as const;

    const locked = new Set(await this.store.lock(tx, target, ids));
    const existing = await this.store.existing(tx, projectId, ids);
    // While this transaction waited for the locks, an object came into another batch.
    if (existing.some((one) => !locked.has(one.batch_id))) return null;
    const known = new Set(existing.map((one) => one.object_id));
    const [present, added] = [ids.filter((id) => known.has(id)), ids.filter((id) => !known.has(id))];
    const pick = (list: string[]): NewObjectRow[] => list.flatMap((id) => unique.get(id) ?? []);

    const change = { ...NO_CHANGE };
    let changed: ReadonlySet<string> = new Set();
    if (ifExists === 'replace' && present.length > 0) {
      const batchIds = [...new Set(existing.map((one) => one.batch_id))];
      // Of an object that several writes contain, `replace` compares the content of the last one.
      const firsts = overwrittenContents(writes, unique).filter(({ objectId }) => known.has(objectId));
      const differentFirsts = firsts.length === 0 ? null : await this.store.findDifferent(tx, projectId, firsts);
      const revision = this.sequence.next();
      const replaced = await this.store.replace(tx, { projectId, batchIds, revision, objects: pick(present) });
      change.bytes += replaced.bytes;
      changed = replaced.changedIds;
      if (differentFirsts !== null) {
        const firstIds = new Set(firsts.map(({ objectId }) => objectId));
        changed = new Set([...differentFirsts, ...[...changed].filter((id) => !firstIds.has(id))]);
      }
    }
    if (added.length > 0) {
      if (!isPart && this.quotas.isNearLimit(projectId)) {
        const size = sizeOf(pick(added));
        await this.quotas.requireRoom(tx, projectId, { ...size, bytes: change.bytes + size.bytes });
      }
      const { objects: count, bytes } = await this.store.addIn(
        tx,
        target,
        this.sequence.next(added.length),
        pick(added),
      );
      change.objects += count;
      change.bytes += bytes;
    }
    return { results: resultsOf(objects, ifExists, known), change, replacedIds: replacedIdsOf(writes, changed) };
  }
}

/** Removes the writes that share the next statement from the front of the queue. */
function takeGroup(writes: QueuedWrite[]): QueuedWrite[] {
  let [objects, length] = [0, 0];
  const end = writes.findIndex((one, index) => {
    objects += one.write.objects.length;
    length += one.length;
    return (objects > SHARED_OBJECTS_MAX || length > SHARED_LENGTH_MAX) && index > 0;
  });
  return writes.splice(0, end === -1 ? writes.length : end);
}

function hasDistinctIds(objects: readonly NewObjectRow[]): boolean {
  return new Set(objects.map(({ objectId }) => objectId)).size === objects.length;
}

import { Database, isDataError, isUniqueViolation, SEQ_STEP, Sequence, type Queryable } from '#database';
import { Problem } from '#http';
import { Injectable } from '@nestjs/common';
import type { Note } from '#store';
import { FeedWriteStore } from './feed-write.store.js';
import type { NewObjectRow } from '#store';

/** Writes share a statement up to so many objects, and so many characters of them; a larger write goes alone. */
const SHARED_OBJECTS_MAX = 1_000;
const SHARED_LENGTH_MAX = 4 * 1024 * 1024;
/** Characters that may wait for their turn before a write is told to come again: more would be late, and fill the memory. */
const WAITING_LENGTH_MAX = 32 * 1024 * 1024;
/** In all queues, with what is being stored: whatever comes for whatever projects, the memory does not fill. */
const HELD_LENGTH_MAX = 256 * 1024 * 1024;
/** About what an object takes beside its data. */
const OBJECT_LENGTH = 200;
/** How often objects are looked for again that came or went while we waited for their batches. */
const RACES_MAX = 5;

export interface FeedWrite {
  projectId: number;
  /** Made when it is missing. */
  batchId: string;
  objects: readonly NewObjectRow[];
  /** What becomes of an object that exists: it stays as it is, or becomes what was sent. */
  ifExists: 'keep' | 'replace';
}

/** What became of an object. */
export type FeedWriteResult = 'added' | 'replaced' | 'kept';

/** What waits for those before it. */
interface Queue {
  writes: Waiting[];
  length: number;
}

/** A write that waits for its turn. */
interface Waiting {
  write: FeedWrite;
  /** About how many characters it is. */
  length: number;
  resolve: (became: FeedWriteResult[]) => void;
  reject: (error: unknown) => void;
}

/**
 * Stores what comes through the feeds: single objects, often many at once. Those that arrive while others are being
 * stored share one statement and one commit, which costs a statement of one object little more. Nobody waits for company
 * that has not arrived. Each is durable before its answer. See docs/decisions/012.
 */
@Injectable()
export class FeedWriter {
  /** By project, batch and rule: what is to be stored when those before it are. */
  private readonly queues = new Map<string, Queue>();
  private heldLength = 0;

  constructor(
    private readonly store: FeedWriteStore,
    private readonly database: Database,
    private readonly sequence: Sequence,
  ) {}

  /**
   * Stores the objects, all of them or none.
   * @param note what is to be written down in the same transaction; then it is one of its own
   * @returns what became of each, in their order
   */
  write(write: FeedWrite, note?: Note<FeedWriteResult[]>): Promise<FeedWriteResult[]> {
    if (note !== undefined) return this.alone(write, note);
    return new Promise((resolve, reject) => {
      const { projectId, batchId, ifExists, objects } = write;
      const key = JSON.stringify([projectId, batchId, ifExists]);
      const queue = this.queues.get(key) ?? { writes: [], length: 0 };
      if (queue.length > WAITING_LENGTH_MAX || this.heldLength > HELD_LENGTH_MAX) {
        reject(new Problem('unavailable', { detail: 'As much as may be is waiting to be stored; send it again.' }));
        return;
      }
      const length = objects.reduce((sum, { data }) => sum + data.length + OBJECT_LENGTH, 0);
      queue.length += length;
      this.heldLength += length;
      if (queue.writes.push({ write, length, resolve, reject }) > 1 || this.queues.has(key)) return;
      this.queues.set(key, queue);
      // Not before all is read that has arrived already: else the first of many would go alone, and the others wait for it.
      setImmediate(() => void this.drain(key, queue));
    });
  }

  private async drain(key: string, queue: Queue): Promise<void> {
    while (queue.writes.length > 0) {
      const group = taken(queue);
      await this.settle(group);
      for (const { length } of group) this.heldLength -= length;
    }
    this.queues.delete(key);
  }

  /** Never fails: each gets its answer. */
  private async settle(group: readonly Waiting[]): Promise<void> {
    const [first] = group;
    if (first === undefined) return;
    try {
      const objects = group.flatMap(({ write }) => write.objects);
      const became = await this.storeAll({ ...first.write, objects });
      let start = 0;
      for (const { write, resolve } of group) resolve(became.slice(start, (start += write.objects.length)));
    } catch (error) {
      // What is wrong with one is not the others' fault; a lock or a database that is away is everybody's.
      if (group.length > 1 && isDataError(error)) for (const one of group) await this.settle([one]);
      else for (const { reject } of group) reject(error);
    }
  }

  private async storeAll(write: FeedWrite): Promise<FeedWriteResult[]> {
    const { projectId, batchId, objects } = write;
    if (isEachOnce(objects)) {
      const seq = this.sequence.next(objects.length);
      try {
        await this.database.retrying(() => this.store.add([projectId, batchId], seq, objects));
        return objects.map(() => 'added');
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        if (await this.isStored(write, seq)) return objects.map(() => 'added');
      }
    }
    return this.alone(write);
  }

  /** Whether they are there by an attempt of ours whose answer was lost. */
  private async isStored({ projectId, objects }: FeedWrite, seq: bigint): Promise<boolean> {
    const ids = objects.map(({ objectId }) => objectId);
    const existing = await this.store.existing(this.database, projectId, ids);
    const seqs = new Map(existing.map((one) => [one.object_id, one.seq]));
    return ids.every((id, place) => seqs.get(id) === (seq + BigInt(place * SEQ_STEP)).toString());
  }

  /** The long way, which finds out what exists. */
  private async alone(write: FeedWrite, note?: Note<FeedWriteResult[]>): Promise<FeedWriteResult[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.database.transaction(async (tx) => {
          const became = await this.merge(tx, write);
          await note?.(tx, became);
          return became;
        });
      } catch (error) {
        if (!(error instanceof Moved || isUniqueViolation(error))) throw error;
        if (attempt === RACES_MAX) {
          throw new Problem('unavailable', {
            detail: 'Too many change the same at once; send it again.',
            cause: error,
          });
        }
      }
    }
  }

  private async merge(tx: Queryable, { projectId, batchId, objects, ifExists }: FeedWrite): Promise<FeedWriteResult[]> {
    const unique = new Map<string, NewObjectRow>();
    for (const one of objects) if (ifExists === 'replace' || !unique.has(one.objectId)) unique.set(one.objectId, one);
    const ids = [...unique.keys()];
    const target = [projectId, batchId] as const;

    const locked = new Set(await this.store.lock(tx, target, ids));
    const existing = await this.store.existing(tx, projectId, ids);
    if (existing.some((one) => !locked.has(one.batch_id))) throw new Moved('an object came into another batch');
    const known = new Set(existing.map((one) => one.object_id));
    const [there, added] = [ids.filter((id) => known.has(id)), ids.filter((id) => !known.has(id))];
    const pick = (list: string[]): NewObjectRow[] => list.flatMap((id) => unique.get(id) ?? []);

    if (ifExists === 'replace' && there.length > 0) {
      const batchIds = [...new Set(existing.map((one) => one.batch_id))];
      await this.store.replace(tx, projectId, this.sequence.next(), pick(there), batchIds);
    }
    if (added.length > 0) await this.store.add(target, this.sequence.next(added.length), pick(added), tx);
    return objects.map(({ objectId }) => {
      const became = known.has(objectId) ? (ifExists === 'replace' ? 'replaced' : 'kept') : 'added';
      // The same again, later in the same write.
      known.add(objectId);
      return became;
    });
  }
}

/** The objects, or one of them, are no more where they were when their batches were locked. */
class Moved extends Error {
  override name = 'Moved';
}

/** Takes from the front of the queue what shares the next statement. */
function taken(queue: Queue): Waiting[] {
  const { writes } = queue;
  let [objects, length] = [0, 0];
  const end = writes.findIndex((one, place) => {
    objects += one.write.objects.length;
    length += one.length;
    return (objects > SHARED_OBJECTS_MAX || length > SHARED_LENGTH_MAX) && place > 0;
  });
  const group = writes.splice(0, end === -1 ? writes.length : end);
  for (const one of group) queue.length -= one.length;
  return group;
}

function isEachOnce(objects: readonly NewObjectRow[]): boolean {
  return new Set(objects.map(({ objectId }) => objectId)).size === objects.length;
}

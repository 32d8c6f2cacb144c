import { EncryptedKeys } from '#encryption';
import { type EncryptedKeyList, isEverything } from '#filter';
import { Problem } from '#http';
import { Config, ProjectSlots } from '#platform';
import { Injectable } from '@nestjs/common';
import type { ChangePlace } from './change-cursor.js';
import { type ChangedObjects, expandChanges, STEP_OBJECTS, type ChangeView } from './change-expansion.js';
import { ChangePage, type ChangeItem } from './change-page.js';
import { ChangeStore, type FeedHead } from './change.store.js';
import { JoinedRuns } from './joined-runs.js';

/** Rows that one statement reads. */
const ROWS = 200;
/** A filter may match few of many changes. A read ends after this time, and the next one continues. */
const READ_MS = 1_000;
const SLOT_WAIT_MS = 10_000;
const WAITING = { waitingPerProject: 1_500, waitingTotal: 4_000 };

/** What a reader follows. */
export interface FollowedChanges extends ChangeView {
  projectId: number;
  /** The most changes of a page. */
  size: number;
  /** About the most characters of a page. */
  lengthMax: number;
  /** Of the project and the filter. */
  fingerprint: string;
  /** Readers with the same place, fingerprint, size and this share pages. */
  viewKey: string;
  /** @throws Problem invalid-query where the filter needs the values of these keys */
  requireSearchable: (encrypted: EncryptedKeyList) => void;
}

/** Reads the changes of projects. */
@Injectable()
export class ChangeFeed {
  private readonly objects: ChangedObjects;
  private readonly slots: ProjectSlots;
  private readonly follows = new JoinedRuns<number, string>();
  private readonly reads = new JoinedRuns<string, ChangePage>();
  private readonly collections = new JoinedRuns<number, boolean>();

  constructor(
    private readonly store: ChangeStore,
    private readonly encryption: EncryptedKeys,
    { database: { sharedMax } }: Config,
  ) {
    this.objects = { store, encryption };
    const total = Math.max(2, Math.floor(sharedMax / 6));
    this.slots = new ProjectSlots({ total, perProject: Math.floor(total / 2), waitMs: SLOT_WAIT_MS, ...WAITING });
  }

  /** The place after all changes that are committed now. */
  async end({ projectId, fingerprint }: FollowedChanges): Promise<ChangePage> {
    const follow = (): Promise<string> => this.inSlot(projectId, () => this.store.follow(projectId));
    const position = await this.follows.run(projectId, follow);
    return new ChangePage([], { position, inside: null }, false, fingerprint);
  }

  /**
   * The changes after a place.
   * @throws Problem changes-expired where they are no longer kept; invalid-query where the filter needs the values of a key that was encrypted
   * since the request arrived; unavailable
   */
  read(followed: FollowedChanges, place: ChangePlace): Promise<ChangePage> {
    const { projectId, size, lengthMax, fingerprint, viewKey } = followed;
    const key = JSON.stringify([projectId, place, size, lengthMax, fingerprint, viewKey]);
    return this.reads.run(key, () => this.inSlot(projectId, () => this.readSearchable(followed, place)));
  }

  /** The filter is checked when the page is read: what it compared may have been encrypted, here or by a process that knew of it sooner. */
  private async readSearchable(followed: FollowedChanges, place: ChangePlace): Promise<ChangePage> {
    const page = await this.readPage(followed, place);
    if (!isEverything(followed.filter))
      followed.requireSearchable(await this.encryption.readUnsearchableKeys(followed.projectId));
    return page;
  }

  private async readPage(followed: FollowedChanges, place: ChangePlace): Promise<ChangePage> {
    const { projectId, size, lengthMax, fingerprint } = followed;
    const deadline = performance.now() + READ_MS;
    const head = requireKept(await this.store.head(projectId), place);
    if (head.is_old) await this.store.touch(projectId);
    const hasMorePending =
      head.has_pending && (await this.collections.run(projectId, () => this.store.collect(projectId)));
    const items: ChangeItem[] = [];
    let next = place;
    let length = 0;
    for (;;) {
      const from = next.inside === null ? (BigInt(next.position) + 1n).toString() : next.position;
      const rows = await this.store.read(projectId, from, ROWS, {
        objectsMax: STEP_OBJECTS,
        skippedIds: next.inside ?? '0',
      });
      if (rows === null) throw expired();
      const step = await expandChanges(this.objects, projectId, rows, next, followed, {
        items: size - items.length,
        bytes: Math.max(1, lengthMax - length),
      });
      for (const item of step.items) {
        items.push(item);
        length += item.text.length;
      }
      next = step.next;
      const last = rows.at(-1);
      const isLast = last === undefined || last.position === last.last_position;
      if (step.isComplete && isLast) return new ChangePage(items, next, hasMorePending, fingerprint);
      if (items.length >= size || length >= lengthMax || performance.now() > deadline)
        return new ChangePage(items, next, true, fingerprint);
    }
  }

  private async inSlot<T>(projectId: number, work: () => Promise<T>): Promise<T> {
    const release = await this.slots.acquire(projectId);
    if (release === null) {
      throw new Problem('unavailable', { detail: 'Too many readers of changes wait for the database; retry later.' });
    }
    try {
      return await work();
    } finally {
      release();
    }
  }
}

/** A position that does not exist is from before the database was restored from a backup. */
function requireKept(head: FeedHead | null, { position }: ChangePlace): FeedHead {
  const isKept =
    head !== null && BigInt(position) >= BigInt(head.deleted_until) && BigInt(position) <= BigInt(head.last_position);
  if (!isKept) throw expired();
  return head;
}

function expired(): Problem {
  return new Problem('changes-expired', {
    detail:
      'The changes after this cursor are no longer kept. Request a new cursor without since, export the objects again, then follow from the new cursor.',
  });
}

import { boundedIds, type Actor, type NewAuditEntry } from '#audit';
import type { NewObjectRow } from '#store';

/** The objects of one request of a feed. */
export interface FeedWrite {
  projectId: number;
  actor: Actor;
  /** Created where it does not exist. */
  batchId: string;
  objects: readonly NewObjectRow[];
  /** What to do with an object that exists: keep it unchanged, or replace it. */
  ifExists: 'keep' | 'replace';
}

/** The result for one object. */
export type FeedWriteResult = 'added' | 'replaced' | 'kept';

/** @param existing the ids of the objects that existed before */
export function resultsOf(
  objects: readonly NewObjectRow[],
  ifExists: FeedWrite['ifExists'],
  existing: ReadonlySet<string>,
): FeedWriteResult[] {
  const known = new Set(existing);
  return objects.map(({ objectId }) => {
    const result = known.has(objectId) ? (ifExists === 'replace' ? 'replaced' : 'kept') : 'added';
    // The same id may appear again in the same write.
    known.add(objectId);
    return result;
  });
}

/**
 * The ids of the objects whose content each write has replaced: that of a stored object, or of an earlier write of the group.
 * @param changed the ids of the objects that were stored before with other content than the first write with them has
 */
export function replacedIdsOf(writes: readonly FeedWrite[], changed: ReadonlySet<string>): Set<string>[] {
  const contents = new Map<string, NewObjectRow>();
  return writes.map((write) => {
    const ids = new Set<string>();
    if (write.ifExists === 'keep') return ids;
    for (const [id, object] of contentsOf(write)) {
      const earlier = contents.get(id);
      if (earlier === undefined ? changed.has(id) : !isSameContent(earlier, object)) ids.add(id);
      contents.set(id, object);
    }
    return ids;
  });
}

/** The content that the first write with each object has, where the last one has another content. */
export function overwrittenContents(
  writes: readonly FeedWrite[],
  last: ReadonlyMap<string, NewObjectRow>,
): NewObjectRow[] {
  if (writes.length === 1) return [];
  const firsts = new Map<string, NewObjectRow>();
  for (const write of writes) {
    for (const [id, object] of contentsOf(write)) if (!firsts.has(id)) firsts.set(id, object);
  }
  return [...firsts.values()].filter((first) => {
    const final = last.get(first.objectId);
    return final !== undefined && !isSameContent(first, final);
  });
}

/** The content of each object after a write, by id: the last one, where the write contains it more than once. */
function contentsOf({ objects }: FeedWrite): Map<string, NewObjectRow> {
  return new Map(objects.map((object) => [object.objectId, object]));
}

function isSameContent(left: NewObjectRow, right: NewObjectRow): boolean {
  return left.data === right.data && left.subject === right.subject && left.observedAt === right.observedAt;
}

/** One write with the objects of all. */
export function mergedWrite(writes: readonly FeedWrite[]): FeedWrite {
  const [first] = writes;
  if (first === undefined) throw new Error('a group without writes');
  return writes.length === 1 ? first : { ...first, objects: writes.flatMap(({ objects }) => objects) };
}

/** One entry for each write that has replaced content, for the audit log. */
export function replacementEntries(
  writes: readonly FeedWrite[],
  replacedIds: readonly ReadonlySet<string>[],
): NewAuditEntry[] {
  return writes.flatMap((write, index) => {
    const ids = [...(replacedIds[index] ?? [])];
    return replacementEntry(write, ids.length, ids);
  });
}

/** The entry of a write that has replaced the content of `count` objects. @param ids all of their ids, or the first */
export function replacementEntry(
  { projectId, actor }: Omit<FeedWrite, 'objects'>,
  count: number,
  ids: readonly string[],
): NewAuditEntry[] {
  const [id] = ids;
  if (id === undefined) return [];
  if (count === 1) return [{ projectId, actor, action: 'object.replace', target: { type: 'object', id } }];
  const details = { object_count: count, object_ids: boundedIds(ids) };
  return [{ projectId, actor, action: 'objects.replace', details }];
}

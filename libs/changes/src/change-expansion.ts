import type { EncryptedKeys } from '#encryption';
import type { Filter } from '#filter';
import { objectText, viewedTexts, type ObjectView } from '#objects';
import type { ObjectRow } from '#store';
import type { ChangeItem } from './change-page.js';
import type { ChangePlace } from './change-cursor.js';
import type { ChangeRow, ChangeStore, ExpandedRow, SeqSpan } from './change.store.js';

/** The objects that one step looks at; a filter may match few of them. The rows of a step have about as many. */
export const STEP_OBJECTS = 2_000;

/** A change with the objects of it that a step reads. */
interface Part {
  row: ChangeRow;
  /** The ids after the place where the step starts, and how many are before it. */
  ids: readonly string[];
  firstId: number;
}

/** How the objects of changes are read. */
export interface ChangedObjects {
  store: ChangeStore;
  encryption: EncryptedKeys;
}

/** What a reader wants to see. */
export interface ChangeView {
  filter: Filter;
  view: ObjectView;
}

/** The changes of a step, and the place that it has reached. */
export interface ChangeStep {
  items: ChangeItem[];
  next: ChangePlace;
  /** Whether it has reached the end of the rows. */
  isComplete: boolean;
}

/** Before it is known as text. */
type Found = { place: ChangePlace; row: ChangeRow; kind: ChangeRow['kind']; id: string; object: ExpandedRow | null };

/**
 * Turns rows of changes into changes of single objects, with the present state of each object. It is read after the commits of all
 * rows, so that the last change of an object has its last state.
 * @param rows with ids after the place
 * @param start where the first row continues, if it is the one at this position
 * @param most the most changes, and about the most bytes of their data beyond the first
 */
export async function expandChanges(
  { store, encryption }: ChangedObjects,
  projectId: number,
  rows: readonly ChangeRow[],
  start: ChangePlace,
  { filter, view }: ChangeView,
  most: { items: number; bytes: number },
): Promise<ChangeStep> {
  const parts = rows.map((row): Part => {
    const firstId = row.position === start.position && start.inside !== null ? Number(start.inside) : 0;
    return { row, ids: row.object_ids ?? [], firstId };
  });
  const spans = parts.flatMap(({ row }) => spanOf(row, start) ?? []);
  const isLookedUp = ({ kind }: ChangeRow): boolean =>
    kind === 'changed' || (kind === 'deleted' && !store.ordersDependentChanges);
  const changedIds = parts.flatMap(({ row, ids }) => (isLookedUp(row) ? ids : [])).slice(0, STEP_OBJECTS);
  const created = spans.length === 0 ? [] : await store.expandSpans(projectId, filter, spans, STEP_OBJECTS, most.bytes);
  const changed = changedIds.length === 0 ? [] : await store.expandIds(projectId, filter, changedIds, most.bytes);
  const step = assemble(parts, {
    start,
    created: await encryption.openRows(projectId, created),
    changed: await encryption.openRows(projectId, changed),
    changedCount: changedIds.length,
    isLookedUp,
    limit: most.items,
  });
  const texts = await textsOf(step.items, view, projectId);
  return { ...step, items: step.items.map(({ place }, index) => ({ place, text: texts[index] ?? '' })) };
}

function spanOf({ position, first_seq, last_seq, batch_id }: ChangeRow, start: ChangePlace): SeqSpan | null {
  if (first_seq === null || last_seq === null) return null;
  const isStarted = position === start.position && start.inside !== null;
  const after = isStarted ? (start.inside ?? '') : (BigInt(first_seq) - 1n).toString();
  return { batchId: batch_id, after, last: last_seq };
}

interface Expanded {
  start: ChangePlace;
  /** The objects of the spans, in their order. */
  created: readonly ExpandedRow[];
  /** The objects of the first ids that were looked up, as far as they exist. */
  changed: readonly ExpandedRow[];
  changedCount: number;
  /** Whether the ids of a row are among those of `changed`. */
  isLookedUp: (row: ChangeRow) => boolean;
  limit: number;
}

function assemble(
  parts: readonly Part[],
  { start, created, changed, changedCount, isLookedUp, limit }: Expanded,
): { items: Found[]; next: ChangePlace; isComplete: boolean } {
  const items: Found[] = [];
  const bySpan = new Map<string, ExpandedRow[]>();
  for (const object of created) {
    const objects = bySpan.get(object.ordinal);
    if (objects === undefined) bySpan.set(object.ordinal, [object]);
    else objects.push(object);
  }
  const byId = new Map(changed.map((object) => [object.ordinal, object]));
  const lastSpan = created.length === STEP_OBJECTS ? created.at(-1)?.ordinal : undefined;
  let next = start;
  let span = 0;
  let id = 0;
  const stop = (): { items: Found[]; next: ChangePlace; isComplete: boolean } => ({ items, next, isComplete: false });
  for (const { row, ids, firstId } of parts) {
    const { position } = row;
    if (row.kind === 'created') {
      const ordinal = String(++span);
      for (const object of bySpan.get(ordinal) ?? []) {
        // Without data it is beyond the limit of bytes.
        if (items.length >= limit || (object.matches && object.data === null)) return stop();
        next = { position, inside: object.seq };
        if (object.matches) items.push({ place: next, row, kind: row.kind, id: object.object_id, object });
      }
      if (ordinal === lastSpan) return stop();
    }
    for (const [index, objectId] of ids.entries()) {
      if (items.length >= limit) return stop();
      const place = { position, inside: String(firstId + index + 1) };
      let object: ExpandedRow | null = null;
      if (isLookedUp(row)) {
        if (id >= changedCount) return stop();
        object = byId.get(String(++id)) ?? null;
        if (object?.matches === true && object.data === null) return stop();
      }
      next = place;
      // An object that exists again was not only deleted: its creation may have been returned before.
      const kind = object === null ? row.kind : 'changed';
      items.push({ place, row, kind, id: objectId, object: object?.matches === true ? object : null });
    }
    next = { position, inside: null };
  }
  return { items, next, isComplete: true };
}

/** `null` as an object says that a mirror must drop what it has: the object was deleted, or does not match the filter any more. */
async function textsOf(items: readonly Found[], view: ObjectView, projectId: number): Promise<string[]> {
  const textOf = ({ row, kind, id, object }: Found, shown: ObjectView): string => {
    const ids = `"object_id":${JSON.stringify(id)},"batch_id":${JSON.stringify(row.batch_id)}`;
    const text = object === null ? 'null' : objectText(object as ObjectRow, shown);
    return `{"change":"${kind}",${ids},"at":"${row.changed_at}","object":${text}}`;
  };
  return viewedTexts(items, textOf, view, projectId);
}

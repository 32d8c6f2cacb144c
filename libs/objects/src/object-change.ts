import type { NewAuditEntry } from '#audit';
import { columns, ObjectEntity, type ObjectRow } from '#store';

/** The columns that a change of an object may change. */
const CONTENT = columns(ObjectEntity, 'data', 'subject', 'observed_at');

/** The entry of a changed object for the audit log; none where its content is the same as before. */
export function changeEntries(
  change: Pick<NewAuditEntry, 'projectId' | 'actor' | 'action'>,
  from: ObjectRow,
  to: ObjectRow,
): NewAuditEntry[] {
  const changed = CONTENT.filter((column) => from[column] !== to[column]);
  if (changed.length === 0) return [];
  return [{ ...change, target: { type: 'object', id: to.object_id }, details: { batch_id: to.batch_id, changed } }];
}

import type { ObjectRow } from '#store';
import { viewedText, WHOLE_VIEW } from './object-view.js';

/** An object as JSON text. `data` is inserted as PostgreSQL wrote it, so that it keeps every digit. */
export function objectText(
  row: Pick<ObjectRow, 'object_id' | 'batch_id' | 'subject' | 'observed_at' | 'data'>,
  view = WHOLE_VIEW,
): string {
  const subject = row.subject === null ? 'null' : JSON.stringify(row.subject);
  if (view !== WHOLE_VIEW) {
    const members = [
      ['object_id', JSON.stringify(row.object_id)],
      ['batch_id', JSON.stringify(row.batch_id)],
      ['subject', subject],
      ['observed_at', `"${row.observed_at}"`],
      ['data', row.data],
    ] as const;
    return viewedText(members, view);
  }
  return (
    `{"object_id":${JSON.stringify(row.object_id)},"batch_id":${JSON.stringify(row.batch_id)},` +
    `"subject":${subject},"observed_at":"${row.observed_at}","data":${row.data}}`
  );
}

/** The ids and the time of an object, for a producer that changed a part of it. */
export function objectTextWithoutContent({ object_id, batch_id, observed_at }: ObjectRow): string {
  return JSON.stringify({ object_id, batch_id, observed_at });
}

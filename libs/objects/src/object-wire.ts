import type { ObjectRow } from '#store';

/** An object as JSON text. Its `data` is inserted as PostgreSQL wrote it, which keeps every digit. */
export function objectText(row: ObjectRow): string {
  const subject = row.subject === null ? 'null' : JSON.stringify(row.subject);
  return (
    `{"object_id":${JSON.stringify(row.object_id)},"batch_id":${JSON.stringify(row.batch_id)},` +
    `"subject":${subject},"observed_at":"${row.observed_at}","data":${row.data}}`
  );
}

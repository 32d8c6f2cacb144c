/**
 * Every statement that writes objects records which, or readers of `GET /objects/changes` miss them. See docs/decisions/039.
 */
const WRITES_OBJECTS = /\b(?:INSERT INTO|UPDATE|DELETE FROM|COPY) objects\b(?! TO\b)/i;
const RECORDS = /\bINSERT INTO pending_changes\b/i;

/** What another statement of the same transaction records, and what is not recorded, by a part of the text. */
const EXCEPTIONS = [
  // `batch.finish` records the range of their sequence numbers.
  /^COPY objects \([^)]*\) FROM STDIN/,
  /FROM staged ORDER BY seq/,
  // `change.record-one` does.
  /^INSERT INTO objects AS o \([^)]*\) VALUES \(\$1::int, \$2::text, \$3::text/,
  // The deletion of a project: its keys do not work any more.
  /DELETE FROM objects WHERE \(project_id, batch_id, seq\) IN/,
  // `reencryption.update` encrypts values: the content of the objects stays the same.
  /WITH sealed AS \( UPDATE objects AS o SET data = n\.data::jsonb/,
];

/** @param sql one statement @returns whether it writes objects of which no change is recorded */
export function isUnrecordedWrite(sql) {
  const line = sql.replace(/\s+/g, ' ').trim();
  return WRITES_OBJECTS.test(line) && !RECORDS.test(line) && !EXCEPTIONS.some((pattern) => pattern.test(line));
}

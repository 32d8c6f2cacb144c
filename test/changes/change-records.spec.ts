import { describe, expect, it } from '@jest/globals';
import { isUnrecordedWrite } from '../harness/change-records.mjs';

const RECORD = 'r AS (INSERT INTO pending_changes (project_id) SELECT project_id FROM o)';

describe('the check of the statements of the test servers', () => {
  it.each([
    'SELECT data FROM objects WHERE project_id = $1 FOR UPDATE',
    `WITH o AS (DELETE FROM objects WHERE project_id = $1 RETURNING *), ${RECORD} SELECT count(*) FROM o`,
    `WITH o AS (UPDATE objects AS e SET data = $2 RETURNING *), ${RECORD} SELECT count(*) FROM o`,
    'COPY objects (project_id, data) FROM STDIN',
    'COPY objects TO STDOUT',
    'DELETE FROM objects_of_others',
  ])('accepts what writes no objects, and what records their changes: %s', (sql) => {
    expect(isUnrecordedWrite(sql)).toBe(false);
  });

  it.each([
    'INSERT INTO objects (project_id) VALUES ($1)',
    'WITH o AS (\n  DELETE FROM objects WHERE project_id = $1 RETURNING 1) SELECT count(*) FROM o',
    'UPDATE objects SET data = $2 WHERE project_id = $1',
    'WITH o AS (UPDATE objects AS e SET data = $2 RETURNING *) SELECT count(*) FROM pending_changes, o',
  ])('rejects a write that records no change: %s', (sql) => {
    expect(isUnrecordedWrite(sql)).toBe(true);
  });
});

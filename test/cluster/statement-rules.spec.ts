import { describe, expect, it } from '@jest/globals';
import { refusalsOf, violationsOf } from '../harness/statement-rules.mjs';

const DATA = new Set(['objects', 'batches', 'jobs', 'job_parts', 'index_pending']);
const VOLATILE = new Set(['now', 'pg_backend_pid', 'jsonb_build_object']);
const check = (sql: string): Promise<string[]> => violationsOf(sql, DATA, VOLATILE);

describe('a statement of one project', () => {
  it.each([
    'SELECT * FROM objects WHERE project_id = $1 AND seq > $2',
    'SELECT o.data FROM objects AS o JOIN batches AS b ON b.project_id = o.project_id WHERE o.project_id = $1',
    'SELECT o.data FROM objects AS o JOIN batches AS b USING (project_id) WHERE o.project_id = $1::int',
    'SELECT * FROM projects AS p, LATERAL (SELECT FROM objects AS o WHERE o.project_id = p.project_id) AS o WHERE p.project_id = $1',
    'SELECT FROM objects AS o WHERE project_id = $1 AND EXISTS (SELECT FROM batches AS b WHERE b.project_id = o.project_id)',
    'SELECT FROM batches WHERE project_id = $1 AND batch_id IN (SELECT batch_id FROM objects WHERE project_id = $1)',
    'INSERT INTO objects (seq, project_id) VALUES ($2, $1)',
    'WITH b AS (UPDATE batches SET seq = 1 WHERE project_id = $1 RETURNING project_id) INSERT INTO objects (project_id) SELECT project_id FROM b',
    'WITH d AS (DELETE FROM objects WHERE project_id = $1 RETURNING *) DELETE FROM index_pending AS p USING d WHERE p.project_id = d.project_id',
    'WITH x AS (SELECT project_id FROM objects WHERE project_id = $1), y AS (SELECT * FROM x) SELECT FROM y JOIN jobs AS j ON j.project_id = y.project_id',
    'DECLARE c CURSOR FOR SELECT * FROM objects WHERE project_id = 4',
    'COPY objects (project_id) FROM STDIN',
    'SELECT FROM projects',
    'BEGIN; SET LOCAL statement_timeout = 0; COMMIT',
  ])('is accepted: %s', async (sql) => {
    expect(await check(sql)).toEqual([]);
  });
});

describe('a statement that would touch several shards', () => {
  it.each([
    ['SELECT * FROM objects WHERE seq = $1', 'objects'],
    ['SELECT * FROM objects WHERE project_id = ANY ($1)', 'objects'],
    ['SELECT * FROM objects WHERE project_id = $1 OR seq = 1', 'objects'],
    ['SELECT * FROM objects AS o, batches AS b WHERE o.project_id = $1', 'batches'],
    [
      'SELECT * FROM objects AS o WHERE o.project_id = $1 AND EXISTS (SELECT FROM batches AS b WHERE b.seq = o.seq)',
      'batches',
    ],
    ['UPDATE jobs SET status = $2', 'jobs'],
    ['DELETE FROM jobs WHERE job_id = $1', 'jobs'],
    ['INSERT INTO objects (project_id) SELECT project_id FROM unnest($1::int[]) AS c (project_id)', 'objects'],
    ['SELECT (SELECT count(*) FROM jobs) FROM objects WHERE project_id = $1', 'jobs'],
    [
      'SELECT FROM (SELECT project_id FROM objects WHERE project_id = $1 UNION SELECT project_id FROM jobs) AS u',
      'jobs',
    ],
    ['SELECT 1 FROM objects WHERE project_id = $1 UNION ALL SELECT 1 FROM jobs', 'jobs'],
  ])('is rejected: %s', async (sql, table) => {
    expect(await check(sql)).toEqual([`${table} is not bound to the project_id of one project`]);
  });

  it('is rejected where it names two projects', async () => {
    const [violation] = await check(
      'SELECT FROM objects AS o, jobs AS j WHERE o.project_id = $1 AND j.project_id = $2',
    );
    expect(violation).toMatch(/^it names value \$1 and value \$2 as project_id$/);
  });
});

describe('a statement that a cluster refuses or runs otherwise', () => {
  it.each([
    [
      'changes a table of the coordinator, too',
      'WITH j AS (INSERT INTO jobs (project_id) VALUES ($1)) INSERT INTO graphile_worker._private_jobs (key) VALUES ($2)',
      'it changes jobs and _private_jobs, which is not distributed',
    ],
    [
      'has a function in COALESCE that is not immutable',
      'INSERT INTO objects (project_id, at) VALUES ($1, coalesce($2, now()))',
      'now() is not immutable and in CASE or COALESCE',
    ],
    [
      'adds to a time in COALESCE, which depends on the time zone',
      "INSERT INTO objects (project_id, at) VALUES ($1, coalesce($2, timestamptz '2024-01-01' + $3 * interval '1 s'))",
      'the sum of a timestamptz is not immutable and in CASE or COALESCE',
    ],
    [
      'has such a function in CASE',
      'UPDATE objects SET n = CASE WHEN pg_backend_pid() > 1 THEN 1 END WHERE project_id = $1',
      'pg_backend_pid() is not immutable and in CASE or COALESCE',
    ],
    [
      'reads rows in a CTE before it changes them',
      'WITH old AS (SELECT seq FROM objects WHERE project_id = $1) UPDATE objects SET n = 1 FROM old WHERE project_id = $1',
      'the CTE old reads objects, which the statement changes, and is not MATERIALIZED',
    ],
  ])('is rejected if it %s', async (_, sql, violation) => {
    expect(await check(sql)).toEqual([violation]);
  });

  it.each([
    [
      'has a CTE without columns',
      'WITH b AS MATERIALIZED (SELECT FROM batches WHERE project_id = $1) DELETE FROM jobs WHERE project_id = $1 AND EXISTS (SELECT FROM b)',
      'the CTE b has no columns',
    ],
    [
      'has a part of a UNION without columns',
      'SELECT FROM projects UNION ALL SELECT FROM jobs WHERE project_id = $1',
      'a part of a UNION has no columns',
    ],
    [
      'reads rows after it has deleted them',
      'WITH gone AS (DELETE FROM objects WHERE project_id = $1 RETURNING 1), kept AS (INSERT INTO jobs (project_id) SELECT project_id FROM objects WHERE project_id = $1) SELECT count(*) FROM gone',
      'the CTE kept reads objects, which an earlier part of the statement changes',
    ],
    [
      'reads them in its last part',
      'WITH gone AS (DELETE FROM objects WHERE project_id = $1) SELECT count(*) FROM objects WHERE project_id = $1',
      'the last part reads objects, which an earlier part of the statement changes',
    ],
    [
      'gives a column to a function that is not immutable',
      `UPDATE jobs SET counts = jsonb_build_object('n', jobs.n) WHERE project_id = $1`,
      'jsonb_build_object() is not immutable and gets a column',
    ],
    [
      'adds an interval to a column',
      `DELETE FROM jobs WHERE project_id = $1 AND at + 2 * interval '1 day' < now()`,
      'the sum of a column and an interval is not immutable',
    ],
    [
      'has a function in DO UPDATE that is not immutable',
      'INSERT INTO jobs (project_id) VALUES ($1) ON CONFLICT (project_id) DO UPDATE SET at = now()',
      'now() is not immutable and in DO UPDATE',
    ],
    [
      'has such a function in RETURNING',
      'DELETE FROM jobs WHERE project_id = $1 RETURNING now()',
      'now() is not immutable and in RETURNING',
    ],
  ])('is rejected if it %s', async (_, sql, violation) => {
    expect(await check(sql)).toEqual([violation]);
    expect(await refusalsOf(sql, DATA, VOLATILE)).toEqual([violation]);
  });

  it.each([
    [
      'locks rows',
      'DELETE FROM jobs WHERE (project_id, n) IN (SELECT project_id, n FROM jobs LIMIT 9 FOR UPDATE)',
      'it locks rows on several shards',
    ],
    [
      'reads the first rows of each project',
      'SELECT FROM batches AS b, LATERAL (SELECT FROM objects AS o WHERE o.project_id = b.project_id LIMIT 1) AS o',
      'it has a LIMIT in a LATERAL subquery',
    ],
    [
      'is recursive',
      'WITH RECURSIVE p AS (SELECT project_id FROM jobs UNION SELECT project_id + 1 FROM p) SELECT FROM p',
      'it is recursive',
    ],
    [
      'has grouping sets',
      'SELECT count(*) FROM jobs GROUP BY GROUPING SETS ((project_id), (status))',
      'it has GROUPING SETS',
    ],
  ])('is rejected if it touches several shards and %s', async (_, sql, violation) => {
    expect(await refusalsOf(sql, DATA, VOLATILE)).toEqual([violation]);
  });

  it('may lock rows, step through a LIMIT and recurse on one shard, and is otherwise accepted on several', async () => {
    const accepted = [
      'SELECT FROM jobs WHERE project_id = $1 FOR UPDATE',
      'SELECT FROM batches AS b, LATERAL (SELECT FROM objects AS o WHERE o.project_id = $1 LIMIT 1) AS o WHERE b.project_id = $1',
      'DELETE FROM jobs WHERE (project_id, n) IN (SELECT project_id, n FROM jobs WHERE at < now() LIMIT 9)',
      `UPDATE jobs SET at = now() + interval '1 day' WHERE at < now() - interval '1 day'`,
    ];
    for (const sql of accepted) expect(await refusalsOf(sql, DATA, VOLATILE)).toEqual([]);
  });

  it('is accepted with a function outside of COALESCE, and with a CTE that is materialized', async () => {
    expect(await check('INSERT INTO objects (project_id, at) VALUES ($1, now())')).toEqual([]);
    const sql =
      'WITH old AS MATERIALIZED (SELECT seq FROM objects WHERE project_id = $1) UPDATE objects SET n = 1 FROM old WHERE project_id = $1';
    expect(await check(sql)).toEqual([]);
  });
});

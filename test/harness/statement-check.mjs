/** Checks that each statement that the processes of the product sent runs on a cluster, on the shard of one project, and records the objects that it writes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { listDataTables } from '#database';
import { isUnrecordedWrite } from './change-records.mjs';
import { STATEMENTS_FOLDER, STATEMENTS_MAX } from './statement-tap.mjs';
import { refusalsOf, violationsOf } from './statement-rules.mjs';

const SHOWN = 20;

/** Statements that are not of one project, by a part of their text. None of them is sent for a route of data. */
const EXCEPTIONS = [
  // Maintenance, in steps.
  'DELETE FROM idempotency_keys WHERE (project_id, key_hash) IN',
  'DELETE FROM jobs WHERE (project_id, job_id) IN',
  'AND j.job_id = p.job_id) GROUP BY p.project_id, p.job_id HAVING max(p.kept_at)',
  'FROM rollup_marks WHERE marked_at <',
  'SELECT DISTINCT project_id FROM ( SELECT o.project_id FROM index_outdated',
  'DELETE FROM pending_changes WHERE (project_id, wal_position) IN',
  'SELECT f.project_id FROM change_feeds AS f WHERE f.read_at < now()',
  'SELECT project_id FROM deleted_projects WHERE finished_at >',
  `SELECT project_id AS "projectId", job_id AS "jobId" FROM jobs WHERE status = 'queued'`,
  `UPDATE jobs SET status = 'queued', worker_id = NULL, attempts = attempts -`,
  'FROM change_feeds AS f WHERE f.read_at IS NOT NULL AND EXISTS',
  'FROM change_feeds AS f JOIN changes AS c ON c.project_id = f.project_id AND c.position = (SELECT min(o.position)',
  'EXISTS (SELECT FROM objects AS o WHERE o.project_id = p.project_id AND o.observed_at < p.before)',
  'SELECT project_id FROM deletions WHERE deletion_id <',
  'DELETE FROM webhook_deliveries WHERE (project_id, webhook_id, delivery_id) IN',
  'SELECT project_id, webhook_id, secret FROM webhooks WHERE secret LIKE ANY',
  // Which projects and webhooks have something to send.
  'SELECT w.project_id FROM webhooks AS w WHERE w.project_id <> ALL ($1::int[]) AND EXISTS',
  'FROM webhooks AS w WHERE w.is_enabled AND w.change_position IS NOT NULL',
  `FROM webhooks AS w WHERE w.is_enabled AND 'threshold.reached' = ANY (w.events)`,
  // Which projects the background work of the index has to visit.
  'FROM index_pending WHERE NOT is_wide GROUP BY project_id',
  'SELECT project_id FROM index_builds',
  'max(number) AS number FROM index_segments GROUP BY project_id',
  // Operators, and the start of a server: limits, requests and sizes of all projects.
  'INSERT INTO project_requests AS r',
  'count(objects_share) AS objects',
  'INSERT INTO project_usage (project_id, shard, objects, bytes) SELECT l.project_id',
  'UPDATE project_usage AS u SET objects_share = u.objects + f.objects',
  'AS most_pending_objects',
  'AS building_projects FROM',
  'ORDER BY finished_at DESC LIMIT',
  // The first key or start: whether the installation has or had a project.
  'SELECT 1 FROM projects UNION ALL SELECT 1 FROM deleted_projects LIMIT 1',
  // `stowage audit verify`, for all projects.
  'SELECT DISTINCT project_id FROM audit_entries UNION',
  'SELECT name, due FROM (',
  `FROM jobs WHERE status = 'queued' AND project_id <> ALL`,
  // Migrations of an empty database, before its tables are distributed.
  'INSERT INTO sequence_lanes (lane, holder, leased_until, last_tick) SELECT',
  'INSERT INTO audit_chains (project_id, entries, hash, at) SELECT',
  'INSERT INTO project_usage (project_id, shard, objects, bytes) SELECT project_id, 0',
  'DELETE FROM project_usage AS u WHERE NOT EXISTS',
  'INSERT INTO index_builds (project_id, below_seq) SELECT',
];

/** On one machine only; a cluster gets other statements. */
const ONE_MACHINE = [
  // Migration 016: the tables are distributed after all migrations.
  'INSERT INTO index_builds (project_id, below_seq) SELECT p.project_id',
  'WITH RECURSIVE project AS ( (SELECT project_id FROM index_pending',
  'WITH job AS ( INSERT INTO jobs',
  'AS j WHERE j.project_id = p.project_id AND j.status',
  'FROM change_feeds AS f, LATERAL ( SELECT o.position',
  'WITH finished AS MATERIALIZED ( SELECT project_id FROM deleted_projects',
  'SELECT FROM project_usage WHERE project_id = ANY ($1::int[]) ORDER BY project_id, shard FOR UPDATE',
  // `stowage backup` and `stowage restore`, which are refused on a cluster. A backup copies whole tables.
  /^COPY \(SELECT [^()]+ FROM \w+\) TO STDOUT$/,
  'SELECT EXISTS (SELECT FROM deleted_projects) AS has_rows',
  'SELECT EXISTS (SELECT FROM audit_entries) AS has_rows',
  'WITH followed AS ( INSERT INTO change_feeds',
  `UPDATE webhook_deliveries SET status = 'failed', error = 'not sent: a backup was restored'`,
];

function isListed(line, parts) {
  return parts.some((part) => (part instanceof RegExp ? part.test(line) : line.includes(part)));
}

/** @returns what was recorded, each text once @throws Error where a process sent more than it records */
function readStatements(folder) {
  const texts = new Set();
  for (const name of readdirSync(join(folder, STATEMENTS_FOLDER))) {
    // Without what follows the last line break: nothing, or a line that a killed process has not written to its end.
    const lines = readFileSync(join(folder, STATEMENTS_FOLDER, name), 'utf8')
      .split('\n')
      .slice(0, -1);
    if (lines.length >= STATEMENTS_MAX) {
      throw new Error(`a process sent ${STATEMENTS_MAX} different statements or more, and only these are checked`);
    }
    for (const line of lines) texts.add(JSON.parse(line));
  }
  return texts;
}

/** @param database the address of a database with the tables @returns a sentence for each rule that a recorded statement breaks */
async function findStatementFaults(folder, database) {
  const texts = readStatements(folder);
  const client = new pg.Client({ ...database, ssl: false });
  await client.connect();
  try {
    const tables = await listDataTables({ query: async (text, values) => (await client.query(text, values)).rows });
    const { rows } = await client.query(
      // Of a name with several types of arguments, only those that are immutable with none; `date_trunc` is used with timestamptz.
      `SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
       GROUP BY proname HAVING bool_and(provolatile <> 'i') OR proname = 'date_trunc'`,
    );
    const volatileFunctions = new Set(rows.map(({ proname }) => proname));
    const faults = [];
    for (const text of texts) {
      const line = text.replace(/\s+/g, ' ').trim();
      if (isUnrecordedWrite(text)) faults.push(`it writes objects and does not record the change: ${line}`);
      if (isListed(line, ONE_MACHINE)) continue;
      const mayTouchSeveral = isListed(line, EXCEPTIONS);
      const rulesOf = mayTouchSeveral ? refusalsOf : violationsOf;
      const violations = await rulesOf(text, new Set(tables), volatileFunctions);
      if (violations.length > 0) faults.push(`${violations.join('; ')}: ${line}`);
    }
    return faults;
  } finally {
    await client.end();
  }
}

/** @throws Error with the first statements that break a rule */
export async function checkStatements(folder, database) {
  const faults = await findStatementFaults(folder, database);
  if (faults.length === 0) return;
  throw new Error(
    `${faults.length} statements do not run on a cluster, or record no change:\n${faults.slice(0, SHOWN).join('\n')}`,
  );
}

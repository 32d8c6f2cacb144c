import { Database, type Queryable } from '#database';
import { Maintenance, MAINTENANCE_PROJECTS, type MaintenanceTask } from '#jobs';
import { Injectable } from '@nestjs/common';

/** A table with rows of a project. */
interface ProjectTable {
  readonly name: string;
  /** The columns after `project_id` that an index orders its rows by, so that each step finds its rows at once. */
  readonly key: readonly string[];
  /** Rows that one step deletes. Fewer where a row may have a megabyte or more. */
  readonly rows: number;
}

/**
 * The tables whose rows the job deletes, in this order. Jobs are first: without its row, a running job of the project cannot
 * commit any more. Keys, devices, usage and webhooks are deleted with the project itself; a webhook that is created at the same time may
 * come later. The audit log is kept.
 */
const TABLES: readonly ProjectTable[] = [
  { name: 'jobs', key: ['job_id'], rows: 1_000 },
  { name: 'job_parts', key: ['job_id', 'part'], rows: 50 },
  { name: 'idempotency_keys', key: ['key_hash'], rows: 1_000 },
  { name: 'objects', key: ['batch_id', 'seq'], rows: 2_000 },
  { name: 'batches', key: ['batch_id'], rows: 5_000 },
  { name: 'deleted_objects', key: ['deletion_id', 'seq'], rows: 2_000 },
  { name: 'deletions', key: ['deletion_id'], rows: 5_000 },
  { name: 'index_builds', key: [], rows: 1 },
  { name: 'index_blocks', key: ['segment', 'path'], rows: 1_000 },
  { name: 'index_segments', key: ['number'], rows: 1_000 },
  { name: 'index_pending', key: ['seq'], rows: 5_000 },
  { name: 'index_outdated', key: ['seq'], rows: 5_000 },
  { name: 'webhook_deliveries', key: ['webhook_id', 'delivery_id'], rows: 1_000 },
  { name: 'webhooks', key: ['webhook_id'], rows: 100 },
  { name: 'pending_changes', key: ['wal_position'], rows: 1_000 },
  { name: 'changes', key: ['position'], rows: 1_000 },
  { name: 'change_feeds', key: [], rows: 1 },
  { name: 'rollup_marks', key: ['subject', 'hour'], rows: 5_000 },
  { name: 'rollups', key: ['subject', 'hour'], rows: 5_000 },
  { name: 'project_requests', key: [], rows: 1 },
];

/** How long after a deletion late rows are looked for. A request that was authenticated before may last for days. */
const LATE_ROWS_DAYS = 30;

const INSERT = `INSERT INTO deleted_projects (project_id, deleted_at, counts) VALUES ($1, now(), $2)`;

const OPEN_JOB = `SELECT FROM jobs WHERE project_id = $1 AND status IN ('queued', 'running') LIMIT 1`;

const DELETE_WEBHOOKS = `DELETE FROM webhooks WHERE project_id = $1 RETURNING 1`;

const COUNT_BATCHES = `SELECT count(*) AS count FROM batches WHERE project_id = $1`;

/** Two workers that run the same job delete in turn: the second one must not take rows of the first for the end of the table. */
const LOCK = `SELECT FROM deleted_projects WHERE project_id = $1 FOR UPDATE`;

const FINISH = `UPDATE deleted_projects SET finished_at = now() WHERE project_id = $1 RETURNING counts`;

/** The first rows of a project. The order makes PostgreSQL read the index also where it takes the project for a large one. */
function firstRowsSql({ name, key, rows }: ProjectTable, projectId: string): string {
  const columns = ['project_id', ...key].map((column) => `t.${column}`);
  return `
    SELECT ${columns.join(', ')} FROM ${name} AS t WHERE t.project_id = ${projectId}
    ORDER BY ${columns.join(', ')} LIMIT ${String(rows)}`;
}

function deleteSql({ name, key }: ProjectTable, rows: string): string {
  return `DELETE FROM ${name} WHERE (${['project_id', ...key].join(', ')}) IN (${rows}) RETURNING 1`;
}

/** Adds to the count without jsonb_build_object, which is not immutable, as a cluster requires of a function of a column. */
function stepSql(table: ProjectTable): string {
  const { name } = table;
  return `
    WITH deleted AS (${deleteSql(table, firstRowsSql(table, '$1::int'))}),
    total AS (SELECT count(*)::int AS count FROM deleted),
    counted AS (
      UPDATE deleted_projects AS d
      SET counts = jsonb_set(counts, '{${name}}', (coalesce((counts ->> '${name}')::bigint, 0) + total.count)::text::jsonb)
      FROM total WHERE d.project_id = $1
    )
    SELECT count FROM total`;
}

const LATE_ROWS = 'delete late rows of deleted projects';
const HAS_DELETED = `SELECT ${TABLES.map(({ name }) => `EXISTS (SELECT FROM ${name}_deleted)`).join(' OR ')} AS has_more`;

/** Rows that a request or job of the project has written after their table was emptied. One look-up for each table and project. */
const DELETE_LATE_ROWS: MaintenanceTask = {
  name: LATE_ROWS,
  sql: `
  WITH finished AS MATERIALIZED (
    SELECT project_id FROM deleted_projects WHERE finished_at > now() - interval '${String(LATE_ROWS_DAYS)} days'
  ),
  ${TABLES.map((table) => {
    const rows = `SELECT late.* FROM finished, LATERAL (${firstRowsSql(table, 'finished.project_id')}) AS late`;
    return `${table.name}_deleted AS (${deleteSql(table, rows)})`;
  }).join(',\n  ')}
  ${HAS_DELETED}`,
};

/** The same on a cluster, which has no LIMIT for each project. */
const DELETE_LATE_ROWS_DISTRIBUTED: MaintenanceTask = {
  name: LATE_ROWS,
  projectsSql: `
  SELECT project_id FROM deleted_projects WHERE finished_at > now() - interval '${String(LATE_ROWS_DAYS)} days'
  ORDER BY random() LIMIT ${String(MAINTENANCE_PROJECTS)}`,
  projectSql: `
  WITH ${TABLES.map((table) => `${table.name}_deleted AS (${deleteSql(table, firstRowsSql(table, '$1::int'))})`).join(',\n  ')}
  ${HAS_DELETED}`,
};

/** The numbers of deleted rows, by table. */
export type DeletedRows = Readonly<Record<string, number>>;

/** The rows of deleted projects. */
@Injectable()
export class ProjectDeletionStore {
  constructor(
    private readonly database: Database,
    maintenance: Maintenance,
  ) {
    maintenance.add(database.isDistributed ? DELETE_LATE_ROWS_DISTRIBUTED : DELETE_LATE_ROWS);
  }

  /** Records a project as deleted. */
  async insert(tx: Queryable, projectId: number, deleted: DeletedRows): Promise<void> {
    await tx.query(INSERT, [projectId, JSON.stringify(deleted)]);
  }

  /** Whether a job of the project is queued or running. */
  async hasOpenJobs(on: Queryable, projectId: number): Promise<boolean> {
    return (await on.query(OPEN_JOB, [projectId])).length > 0;
  }

  /** Ends its events at once: while its objects are deleted, thresholds of too few objects would be reached. @returns their number */
  async deleteWebhooks(tx: Queryable, projectId: number): Promise<number> {
    return (await tx.query(DELETE_WEBHOOKS, [projectId])).length;
  }

  async countBatches(tx: Queryable, projectId: number): Promise<number> {
    const [row] = await tx.query<{ count: string }>(COUNT_BATCHES, [projectId]);
    return Number(row?.count);
  }

  /** Deletes all rows of a project in steps. @param pause called after each step with its duration */
  async deleteRows(projectId: number, pause: (stepMs: number) => Promise<unknown>): Promise<void> {
    for (const table of TABLES) {
      const step = stepSql(table);
      for (;;) {
        const startMs = performance.now();
        if ((await this.deleteSome(projectId, step)) === 0) break;
        await pause(performance.now() - startMs);
      }
    }
  }

  /** Records that all rows are deleted. @returns the numbers of deleted rows, also of earlier attempts */
  async finish(tx: Queryable, projectId: number): Promise<DeletedRows> {
    const [row] = await tx.query<{ counts: string }>(FINISH, [projectId]);
    if (row === undefined) throw new Error('the project was not deleted');
    return JSON.parse(row.counts) as DeletedRows;
  }

  private deleteSome(projectId: number, step: string): Promise<number> {
    return this.database.transaction(async (tx) => {
      await tx.query(LOCK, [projectId]);
      const [row] = await tx.query<{ count: number }>(step, [projectId]);
      return row?.count ?? 0;
    });
  }
}

import { ReadDatabase, type Queryable } from '#database';
import { beganBeforeSql, LIST_APPLIES_AT } from '#encryption';
import { Injectable } from '@nestjs/common';
import type {
  EncryptionStateDto,
  EncryptionWaitDto,
  IndexStateDto,
  MaintenanceDto,
  OlderTransactionDto,
  TableSizeDto,
} from './maintenance.dto.js';
import { Maintenance } from './maintenance.js';

/** The tables of Stowage and the queue of graphile-worker. From the catalogue and the sizes of files: no table is read. */
const TABLES = `
  SELECT oid::regclass::text AS name, nullif(reltuples, -1)::bigint AS rows_estimated,
    pg_total_relation_size(oid) AS size_bytes
  FROM pg_class
  WHERE relkind = 'r' AND (relnamespace = current_schema()::regnamespace
    OR oid = to_regclass('graphile_worker._private_jobs'))
  ORDER BY size_bytes DESC, name`;

/** The time of a pending object is not reported: a changed object is pending with its old sequence number. */
const INDEX = `
  SELECT coalesce(sum(pending), 0) AS pending_objects, coalesce(max(pending + large), 0) AS most_pending_objects,
    coalesce(sum(large), 0) AS large_objects, (SELECT count(*) FROM index_segments) AS segments,
    (SELECT count(*) FROM index_builds) AS building_projects
  FROM (SELECT count(*) FILTER (WHERE NOT is_wide) AS pending, count(*) FILTER (WHERE is_wide) AS large
    FROM index_pending GROUP BY project_id) AS of_project`;

const ENCRYPTION = `
  SELECT count(*)::int AS pending_projects, min(encryption_changed_at) AS oldest_change_at,
    array(SELECT key_id FROM data_keys ORDER BY key_id) AS data_keys
  FROM projects
  WHERE encryption_cursor IS NOT NULL`;

/** Without the statements, which may contain data. The oldest one is older than the change of each project that waits. */
const ENCRYPTION_WAIT = `
  WITH pending AS (
    SELECT ${LIST_APPLIES_AT} AS applies_at FROM projects AS p
    WHERE p.encryption_cursor IS NOT NULL AND ${LIST_APPLIES_AT} < now()
  ),
  older AS MATERIALIZED (
    SELECT a.pid, a.application_name AS name, host(a.client_addr) AS address, a.state, a.xact_start AS began_at
    FROM pg_stat_activity AS a WHERE ${beganBeforeSql('(SELECT max(applies_at) FROM pending)')}
  ),
  waiting AS (
    SELECT count(*)::int AS projects, min(applies_at) AS since FROM pending
    WHERE applies_at > (SELECT min(began_at) FROM older)
  )
  SELECT w.projects, w.since, o.* FROM waiting AS w, older AS o ORDER BY o.began_at, o.pid LIMIT 10`;

type EncryptionWaitRow = Omit<EncryptionWaitDto, 'transactions'> & OlderTransactionDto;

function waitOf(rows: readonly EncryptionWaitRow[]): EncryptionWaitDto | null {
  const [first] = rows;
  if (first === undefined) return null;
  const transactions = rows.map(({ pid, name, address, state, began_at }) => ({ pid, name, address, state, began_at }));
  return { projects: first.projects, since: first.since, transactions };
}

/** Reads the sizes of tables, and the states of the index, of maintenance and of the read replica. */
@Injectable()
export class MaintenanceStore {
  constructor(
    private readonly maintenance: Maintenance,
    private readonly readDatabase: ReadDatabase,
  ) {}

  async read(on: Queryable): Promise<MaintenanceDto> {
    const tables = await on.query<Record<keyof TableSizeDto, string | null>>(TABLES);
    const overdue = await this.overdueTasks(on);
    const [index] = await on.query<Record<keyof IndexStateDto, string>>(INDEX);
    const [encryption] = await on.query<Omit<EncryptionStateDto, 'waiting'>>(ENCRYPTION);
    const waits = await on.query<EncryptionWaitRow>(ENCRYPTION_WAIT);
    if (index === undefined || encryption === undefined) throw new Error('an aggregate without a row');
    const { replicaState: replica } = this.readDatabase;
    return {
      tables: tables.map(({ name, rows_estimated, size_bytes }) => ({
        name: name ?? '',
        rows_estimated: rows_estimated === null ? null : Number(rows_estimated),
        size_bytes: Number(size_bytes),
      })),
      tasks: this.maintenance.list().map(({ name, state }) => ({
        name,
        overdue_since: overdue.get(name) ?? null,
        last_run_at: state?.ranAt.toISOString() ?? null,
        has_more: state?.hasMore ?? null,
        last_error: state?.lastError
          ? { at: state.lastError.at.toISOString(), message: state.lastError.message }
          : null,
      })),
      index: {
        pending_objects: Number(index.pending_objects),
        most_pending_objects: Number(index.most_pending_objects),
        large_objects: Number(index.large_objects),
        segments: Number(index.segments),
        building_projects: Number(index.building_projects),
      },
      encryption: { ...encryption, waiting: waitOf(waits) },
      replica: replica && { status: replica.status, lag_ms: replica.lagMs, error: replica.error },
    };
  }

  /** The tasks that should have deleted a row, each with the time since which. */
  private async overdueTasks(on: Queryable): Promise<ReadonlyMap<string, string>> {
    const names: string[] = [];
    const selects = this.maintenance.list().flatMap(({ name, dueSql }) => {
      return dueSql === undefined ? [] : `SELECT $${String(names.push(name))}::text AS name, (${dueSql}) AS due`;
    });
    const text = `SELECT name, due FROM (${selects.join(' UNION ALL ')}) AS task WHERE due < now()`;
    const rows = await on.query<{ name: string; due: string }>(text, names);
    return new Map(rows.map(({ name, due }) => [name, due]));
  }
}

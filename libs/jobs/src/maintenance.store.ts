import { ReadDatabase, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import type { EncryptionStateDto, IndexStateDto, MaintenanceDto, TableSizeDto } from './maintenance.dto.js';
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
    const [encryption] = await on.query<EncryptionStateDto>(ENCRYPTION);
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
      encryption,
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

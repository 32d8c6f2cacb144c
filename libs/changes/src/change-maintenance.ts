import { Maintenance, MAINTENANCE_ROWS, type MaintenanceTask } from '#jobs';
import { Config } from '#platform';
import { Injectable } from '@nestjs/common';
import { collectSql } from './change.store.js';

/** Changes of a project that are kept, however young: a change has at most 1,000 ids, and seldom more than a few. */
const CHANGES_MAX = 1_000_000;
/** Feeds that one statement collects. Any of them, so that busy ones do not keep it from the others. */
const FEEDS = 100;
/** Rows of a feed that one statement looks at. */
const ROWS = 1_000;

/** Positions for changes that no reader has collected, so that their number is known. */
const COLLECT: MaintenanceTask = {
  name: 'order the changes of followed projects',
  sql: collectSql(`f.project_id IN (
    SELECT g.project_id FROM change_feeds AS g WHERE g.read_at IS NOT NULL
      AND EXISTS (SELECT FROM pending_changes AS p WHERE p.project_id = g.project_id)
    ORDER BY random() LIMIT ${String(FEEDS)})`),
};

/** A project whose changes nobody has read for as long as they are kept has no valid cursor. */
const FORGET: MaintenanceTask = {
  name: 'delete changes that nobody follows',
  sql: `
    WITH unread AS (
      DELETE FROM pending_changes WHERE (project_id, wal_position) IN (
        SELECT p.project_id, p.wal_position FROM pending_changes AS p
        WHERE NOT EXISTS (SELECT FROM change_feeds AS f WHERE f.project_id = p.project_id AND f.read_at IS NOT NULL)
        LIMIT ${String(MAINTENANCE_ROWS)})
      RETURNING 1)
    SELECT count(*) >= ${String(MAINTENANCE_ROWS)} AS has_more FROM unread`,
};

/** Its cursors become invalid, because later changes are not kept. */
const unfollowSql = (kept: string): string => `
  WITH unfollowed AS (
    UPDATE change_feeds SET read_at = NULL, last_position = last_position + 1, deleted_until = last_position + 1
    WHERE read_at < now() - ${kept} RETURNING 1)
  SELECT false AS has_more FROM unfollowed LIMIT 1`;

/** The oldest changes of each feed, in small steps. */
const deleteOldSql = (kept: string): string => `
  WITH deleted AS (
    DELETE FROM changes WHERE (project_id, position) IN (
      SELECT oldest.project_id, oldest.position FROM change_feeds AS f, LATERAL (
        SELECT c.project_id, c.position, c.changed_at FROM changes AS c
        WHERE c.project_id = f.project_id ORDER BY c.position LIMIT ${String(ROWS)}
      ) AS oldest
      WHERE oldest.changed_at < now() - ${kept} OR oldest.position <= f.last_position - ${String(CHANGES_MAX)}
        OR oldest.position <= f.deleted_until
      LIMIT ${String(MAINTENANCE_ROWS)})
    RETURNING project_id, position),
  recorded AS (
    UPDATE change_feeds AS f SET deleted_until = greatest(f.deleted_until, d.position)
    FROM (SELECT project_id, max(position) AS position FROM deleted GROUP BY project_id) AS d
    WHERE f.project_id = d.project_id)
  SELECT count(*) >= ${String(ROWS)} AS has_more FROM deleted`;

/** Keeps the tables of changes small. */
@Injectable()
export class ChangeMaintenance {
  constructor(maintenance: Maintenance, { changes: { keptHours } }: Config) {
    const kept = `interval '${String(keptHours)} hours'`;
    maintenance.add(COLLECT, { name: 'end feeds of changes that nobody reads', sql: unfollowSql(kept) }, FORGET, {
      name: 'delete old changes',
      sql: deleteOldSql(kept),
    });
  }
}

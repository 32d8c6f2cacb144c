import { Database } from '#database';
import { Maintenance, MAINTENANCE_PROJECTS, MAINTENANCE_ROWS, type MaintenanceTask } from '#jobs';
import { Config } from '#platform';
import { Injectable } from '@nestjs/common';
import { ChangeStore } from './change.store.js';

/**
 * Positions of a project that are kept, however young their changes: as many changes, and fewer where they have many ids. At
 * most ten million ids.
 */
const POSITIONS_MAX = 1_000_000;
/** Feeds that are listed at a time. Any of them, so that busy ones do not keep a process from the others. */
const FEEDS = 100;
/** After this time a task stops, and continues with the next run. */
const TASK_MS = 30_000;
/** One feed keeps a process this long from the others. */
const FEED_MS = 2_000;

/** Looks at one pending change of each feed. */
const WITH_PENDING = {
  name: 'changes.list-pending',
  text: `
    SELECT f.project_id FROM change_feeds AS f WHERE f.read_at IS NOT NULL
      AND EXISTS (SELECT FROM pending_changes AS p WHERE p.project_id = f.project_id)
    ORDER BY random() LIMIT ${String(FEEDS)}`,
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

/** A webhook for stored batches follows the changes also while there are none, when it reads nothing. */
const isUnreadSql = (kept: string): string => `f.read_at < now() - ${kept} AND NOT EXISTS (
      SELECT FROM webhooks AS w WHERE w.project_id = f.project_id AND w.is_enabled AND w.change_position IS NOT NULL)`;

/** Its cursors become invalid, because later changes are not kept. A feed that is locked is read or followed now. */
const unfollow = (kept: string): MaintenanceTask => ({
  name: 'end feeds of changes that nobody reads',
  projectsSql: `
    SELECT f.project_id FROM change_feeds AS f WHERE ${isUnreadSql(kept)} LIMIT ${String(MAINTENANCE_PROJECTS)}`,
  projectSql: `
    UPDATE change_feeds SET read_at = NULL, last_position = last_position + 1, deleted_until = last_position + 1
    WHERE project_id = $1 AND project_id IN (
      SELECT f.project_id FROM change_feeds AS f WHERE f.project_id = $1 AND ${isUnreadSql(kept)} FOR UPDATE OF f SKIP LOCKED)`,
});

const isOldSql = (kept: string): string =>
  `c.changed_at < now() - ${kept} OR c.position <= f.last_position - ${String(POSITIONS_MAX)} OR c.position <= f.deleted_until`;

/** Looks at the oldest change of each feed. */
const listOldSql = (kept: string): string => `
  SELECT f.project_id FROM change_feeds AS f, LATERAL (
    SELECT o.position, o.changed_at FROM changes AS o WHERE o.project_id = f.project_id ORDER BY o.position LIMIT 1
  ) AS c
  WHERE ${isOldSql(kept)} ORDER BY random() LIMIT ${String(FEEDS)}`;

/** The same on a cluster, which has no LIMIT for each project. */
const listOldDistributedSql = (kept: string): string => `
  SELECT f.project_id FROM change_feeds AS f JOIN changes AS c ON c.project_id = f.project_id
    AND c.position = (SELECT min(o.position) FROM changes AS o WHERE o.project_id = f.project_id)
  WHERE (${isOldSql(kept)}) ORDER BY random() LIMIT ${String(FEEDS)}`;

/** The first changes of a project, up to the first that is kept. */
const deleteOldSql = (kept: string): string => `
  WITH old AS MATERIALIZED (
    SELECT max(position) AS position, count(*) AS changes FROM (
      SELECT c.position, bool_and(${isOldSql(kept)}) OVER (ORDER BY c.position ROWS UNBOUNDED PRECEDING) AS is_old
      FROM change_feeds AS f, LATERAL (
        SELECT o.position, o.changed_at FROM changes AS o WHERE o.project_id = $1
        ORDER BY o.position LIMIT ${String(MAINTENANCE_ROWS)}
      ) AS c
      WHERE f.project_id = $1
    ) AS first WHERE is_old
  ),
  deleted AS (
    DELETE FROM changes WHERE project_id = $1 AND position <= (SELECT position FROM old)
  )
  UPDATE change_feeds SET deleted_until = greatest(deleted_until, (SELECT position FROM old)) WHERE project_id = $1
  RETURNING (SELECT changes FROM old) >= ${String(MAINTENANCE_ROWS)} AS has_more`;

/** Keeps the tables of changes small. Each statement that locks a feed is of one project, so that no project waits for another. */
@Injectable()
export class ChangeMaintenance {
  constructor(
    maintenance: Maintenance,
    { changes: { keptHours } }: Config,
    private readonly store: ChangeStore,
    private readonly database: Database,
  ) {
    const kept = `interval '${String(keptHours)} hours'`;
    const listOld = database.isDistributed
      ? { name: 'changes.list-old-distributed', text: listOldDistributedSql(kept) }
      : { name: 'changes.list-old', text: listOldSql(kept) };
    const deleteOld = { name: 'changes.delete-old', text: deleteOldSql(kept) };
    maintenance.add(
      {
        // So that their number is known, also where no reader collects them.
        name: 'order the changes of followed projects',
        run: () => this.forEachFeed(WITH_PENDING, (projectId) => this.store.collect(projectId)),
      },
      unfollow(kept),
      FORGET,
      {
        name: 'delete old changes',
        run: () =>
          this.forEachFeed(listOld, async (projectId) => {
            const [row] = await database.query<{ has_more: boolean }>(deleteOld, [projectId]);
            return row?.has_more === true;
          }),
      },
    );
  }

  /** @param work returns whether there is more to do @throws the last error, after the other feeds had their turn */
  private async forEachFeed(
    list: { name: string; text: string },
    work: (projectId: number) => Promise<boolean>,
  ): Promise<void> {
    const deadline = performance.now() + TASK_MS;
    const failures: unknown[] = [];
    let feeds: { project_id: number }[];
    do {
      feeds = await this.database.query(list);
      for (const { project_id: projectId } of feeds) {
        const feedDeadline = Math.min(deadline, performance.now() + FEED_MS);
        try {
          while ((await work(projectId)) && performance.now() < feedDeadline);
        } catch (error) {
          failures.push(error);
        }
        if (performance.now() >= deadline) break;
      }
    } while (feeds.length === FEEDS && failures.length === 0 && performance.now() < deadline);
    if (failures.length > 0) throw failures.at(-1);
  }
}

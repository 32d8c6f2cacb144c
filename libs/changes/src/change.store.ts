import { randomInt } from 'node:crypto';
import { Database } from '#database';
import { filterSql, type Filter } from '#filter';
import { boundedRowsSql, OBJECT_FILTER_COLUMNS, type ObjectRow } from '#store';
import { Injectable } from '@nestjs/common';

/** Changes that one statement gives positions, and their ids, apart from those of the last one: it holds them in memory. */
const COLLECTED_MAX = 5_000;
const COLLECTED_IDS_MAX = 100_000;
const IDS_OF_POSITION = 10;
/** How long somebody who begins to follow may wait for changes that were committed before. What is left then follows. */
const FOLLOW_MS = 5_000;
/** The read time of a feed is stored once in this time, so that readers seldom write. */
const READ_AT_ACCURACY = `interval '1 minute'`;

/**
 * How far a row moves the position: by 1, and by more where it has many ids. So the positions that a project may have also bound the
 * ids, and with them the bytes, that are kept of it.
 */
const WEIGHT = `1 + coalesce(cardinality(object_ids), 0) / ${String(IDS_OF_POSITION)}`;

const CHANGE_COLUMNS = 'kind, batch_id, is_batch, first_seq, last_seq, object_ids, objects, changed_at';

/**
 * Gives the pending changes that this statement sees the next positions, in their order. The row of the feed is locked first, so that
 * positions become visible in their order: nothing is committed later before a position that was read. Other projects, and the
 * transactions that are still running, are not waited for. A row that another collector has moved meanwhile is skipped, and counts for
 * `has_more`, because there may be others after it.
 */
const COLLECT = {
  name: 'changes.collect',
  text: `
    WITH feed AS MATERIALIZED (
      SELECT f.project_id FROM change_feeds AS f WHERE f.project_id = $1 FOR UPDATE
    ),
    chosen AS MATERIALIZED (
      SELECT wal_position, ids FROM (
        SELECT oldest.*, sum(oldest.ids) OVER (ORDER BY oldest.wal_position ROWS UNBOUNDED PRECEDING) - oldest.ids AS ids_before
        FROM feed, LATERAL (
          SELECT q.wal_position, CASE WHEN q.object_ids IS NULL THEN 0 ELSE q.objects END AS ids
          FROM pending_changes AS q WHERE q.project_id = $1
          ORDER BY q.wal_position LIMIT ${String(COLLECTED_MAX)}
        ) AS oldest
      ) AS counted WHERE ids_before < ${String(COLLECTED_IDS_MAX)}
    ),
    moved AS (
      DELETE FROM pending_changes AS p
      WHERE p.project_id = $1 AND p.wal_position <= (SELECT max(wal_position) FROM chosen)
      RETURNING p.*
    ),
    weighed AS (
      SELECT sum(${WEIGHT}) OVER (ORDER BY wal_position ROWS UNBOUNDED PRECEDING)::bigint AS weight, ${CHANGE_COLUMNS} FROM moved
    ),
    counted AS (
      UPDATE change_feeds AS f SET last_position = f.last_position + total.weight
      FROM (SELECT max(weight) AS weight FROM weighed) AS total WHERE f.project_id = $1 AND total.weight IS NOT NULL
      RETURNING f.last_position - total.weight AS before
    ),
    added AS (
      INSERT INTO changes (project_id, position, ${CHANGE_COLUMNS})
      SELECT $1::int, counted.before + weighed.weight, ${CHANGE_COLUMNS} FROM weighed, counted
    )
    SELECT count(*) >= ${String(COLLECTED_MAX)} OR coalesce(sum(ids), 0) >= ${String(COLLECTED_IDS_MAX)} AS has_more FROM chosen`,
};

/**
 * Whoever follows again begins after all that is committed; earlier cursors are invalid. $2 is the position at which a new feed begins:
 * a random one, so that cursors of a feed that does not exist since a restore do not become valid when this one reaches their position.
 */
const FOLLOW = {
  name: 'changes.follow',
  text: `
    INSERT INTO change_feeds AS f (project_id, last_position, deleted_until, read_at) VALUES ($1, $2, $2, now())
    ON CONFLICT (project_id) DO UPDATE SET read_at = excluded.read_at`,
};

/** A feed that another transaction has locked is read by others, so it is touched soon. */
const TOUCH = {
  name: 'changes.touch',
  text: `
    UPDATE change_feeds SET read_at = now() WHERE project_id = $1 AND project_id IN (
      SELECT f.project_id FROM change_feeds AS f WHERE f.project_id = $1 FOR UPDATE SKIP LOCKED)`,
};

const HEAD = {
  name: 'changes.head',
  text: `
    SELECT f.last_position, f.deleted_until, f.read_at < now() - ${READ_AT_ACCURACY} AS is_old,
      EXISTS (SELECT FROM pending_changes AS p WHERE p.project_id = $1) AS has_pending
    FROM change_feeds AS f WHERE f.project_id = $1 AND f.read_at IS NOT NULL`,
};

/**
 * With the state of the feed in the same snapshot: what was deleted meanwhile is noticed. $4 is the number of ids of the first row that are
 * left out. The rows end with the one that reaches $5 objects, and have the ids of as many; with null they have no ids.
 */
const READ = {
  name: 'changes.read',
  text: `
    SELECT f.deleted_until, f.last_position, c.position, c.kind, c.batch_id, c.is_batch, c.first_seq, c.last_seq, c.objects, c.changed_at,
      c.object_ids[c.skipped + 1 : c.skipped + $5::int] AS object_ids
    FROM change_feeds AS f LEFT JOIN LATERAL (
      SELECT * FROM (
        SELECT c.*, CASE WHEN c.position = $2::bigint THEN least($4::bigint, 1000000)::int ELSE 0 END AS skipped,
          sum(c.objects) OVER (ORDER BY c.position ROWS UNBOUNDED PRECEDING) - c.objects AS objects_before
        FROM changes AS c WHERE c.project_id = $1 AND c.position >= $2::bigint ORDER BY c.position LIMIT $3
      ) AS c WHERE $5::int IS NULL OR c.objects_before < $5::int
    ) AS c ON true
    WHERE f.project_id = $1 AND f.read_at IS NOT NULL ORDER BY c.position`,
};

type ChangeKind = 'created' | 'changed' | 'deleted';

/** A row of `changes`: objects of a batch by their sequence numbers where they are new, else by their ids. */
export interface ChangeRow {
  position: string;
  kind: ChangeKind;
  batch_id: string;
  is_batch: boolean;
  first_seq: string | null;
  last_seq: string | null;
  object_ids: string[] | null;
  /** When it was recorded; the sequence numbers may be fewer by now. */
  objects: string;
  changed_at: string;
}

/** With the last position of the feed, at which the last row ends. */
export type ReadRow = ChangeRow & { last_position: string };

export interface FeedHead {
  last_position: string;
  deleted_until: string;
  is_old: boolean;
  has_pending: boolean;
}

/** Some of the sequence numbers of a batch. */
export interface SeqSpan {
  batchId: string;
  after: string;
  last: string;
}

/** An object of a list of spans or ids; `data` is null where it does not match, and where the objects before it reach the limit of bytes. */
export type ExpandedRow = Omit<ObjectRow, 'data'> & { ordinal: string; matches: boolean; data: string | null };

const EXPANDED_COLUMNS = 'ordinal, seq, object_id, batch_id, subject, observed_at, matches';

/** The statements that give changes positions and read them. Every statement is of one project. */
@Injectable()
export class ChangeStore {
  constructor(private readonly database: Database) {}

  /**
   * Whether changes that depend on each other are in their order, such as the deletion of an object and its creation again. Not on a
   * cluster, where the position in the WAL is that of the coordinator before the locks are taken.
   */
  get ordersDependentChanges(): boolean {
    return !this.database.isDistributed;
  }

  /** Starts to keep the changes of a project. @returns the position after those that were committed before */
  async follow(projectId: number): Promise<string> {
    await this.database.query(FOLLOW, [projectId, 2 ** 40 + randomInt(2 ** 47)]);
    const deadline = performance.now() + FOLLOW_MS;
    while ((await this.collect(projectId)) && performance.now() < deadline);
    const head = await this.head(projectId);
    if (head === null) throw new Error('a feed that is followed does not exist');
    return head.last_position;
  }

  /** Null where nobody has followed the changes of the project for long. */
  async head(projectId: number): Promise<FeedHead | null> {
    const [row] = await this.database.query<FeedHead>(HEAD, [projectId]);
    return row ?? null;
  }

  /** Notes that the feed is read. */
  async touch(projectId: number): Promise<void> {
    await this.database.query(TOUCH, [projectId]);
  }

  /** Gives committed changes positions. @returns whether there may be more */
  async collect(projectId: number): Promise<boolean> {
    const [row] = await this.database.retrying(() => this.database.query<{ has_more: boolean }>(COLLECT, [projectId]));
    return row?.has_more === true;
  }

  /**
   * The changes from a position on; null where some of them, or the feed, were deleted.
   * @param options.objectsMax about how many objects the rows may have in all; without it they have no `object_ids`
   * @param options.skippedIds ids of the row at this position that are left out
   */
  async read(
    projectId: number,
    from: string,
    limit: number,
    { objectsMax, skippedIds = '0' }: { objectsMax?: number; skippedIds?: string } = {},
  ): Promise<ReadRow[] | null> {
    const values = [projectId, from, limit, skippedIds, objectsMax ?? null];
    const rows = await this.database.query<
      Omit<ReadRow, 'position'> & { position: string | null; deleted_until: string }
    >(READ, values);
    const [first] = rows;
    if (first === undefined || BigInt(from) <= BigInt(first.deleted_until)) return null;
    return rows.filter((row) => row.position !== null) as ReadRow[];
  }

  /** The present objects of spans of sequence numbers, at most `limit`, and of their data about `bytesMax`. */
  expandSpans(
    projectId: number,
    filter: Filter,
    spans: readonly SeqSpan[],
    limit: number,
    bytesMax: number,
  ): Promise<ExpandedRow[]> {
    const columns = [
      spans.map(({ batchId }) => batchId),
      spans.map(({ after }) => after),
      spans.map(({ last }) => last),
    ];
    const source = `
      unnest($2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS r (batch_id, after, last, ordinal), LATERAL (
        SELECT * FROM objects WHERE project_id = $1 AND batch_id = r.batch_id AND seq > r.after AND seq <= r.last
        ORDER BY seq LIMIT ${String(limit)}
      ) AS o`;
    return this.expand(source, filter, [projectId, ...columns], limit, bytesMax);
  }

  /** The present objects with these ids. */
  expandIds(projectId: number, filter: Filter, ids: readonly string[], bytesMax: number): Promise<ExpandedRow[]> {
    const source = `
      unnest($2::text[]) WITH ORDINALITY AS r (object_id, ordinal), LATERAL (
        SELECT * FROM objects WHERE project_id = $1 AND object_id = r.object_id OFFSET 0
      ) AS o`;
    return this.expand(source, filter, [projectId, ids], ids.length, bytesMax);
  }

  /** Whether each object matches is computed for a bounded number of them, so that no index of the filter is used. */
  private expand(
    source: string,
    filter: Filter,
    values: unknown[],
    limit: number,
    bytesMax: number,
  ): Promise<ExpandedRow[]> {
    const matches = filterSql(filter, OBJECT_FILTER_COLUMNS, values);
    const rows = `
      SELECT ${EXPANDED_COLUMNS}, CASE WHEN matches THEN data END AS data FROM (
        SELECT r.ordinal, o.*, coalesce(${matches}, false) AS matches FROM ${source}
        ORDER BY r.ordinal, o.seq LIMIT ${String(limit)}
      ) AS found ORDER BY ordinal, seq`;
    return this.database.query<ExpandedRow>(boundedRowsSql(EXPANDED_COLUMNS, rows, bytesMax), values);
  }
}

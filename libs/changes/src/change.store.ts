import { Database } from '#database';
import { filterSql, type Filter } from '#filter';
import { boundedRowsSql, OBJECT_FILTER_COLUMNS, type ObjectRow } from '#store';
import { Injectable } from '@nestjs/common';

/** Changes that one statement gives positions. */
const COLLECTED_MAX = 5_000;
/** The read time of a feed is stored once in this time, so that readers seldom write. */
const READ_AT_ACCURACY = `interval '1 minute'`;

const CHANGE_COLUMNS = 'kind, batch_id, is_batch, first_seq, last_seq, object_ids, objects, changed_at';

/**
 * Gives the pending changes that this statement sees the next positions, in their order. The row of the feed is locked first, so that
 * positions become visible in their order: nothing is committed later before a position that was read. Other projects, and the
 * transactions that are still running, are not waited for. A row that another collector has moved meanwhile is skipped.
 * @param feeds condition on `change_feeds AS f`
 */
export function collectSql(feeds: string): string {
  return `
    WITH feed AS MATERIALIZED (
      SELECT f.project_id FROM change_feeds AS f WHERE ${feeds} ORDER BY f.project_id FOR UPDATE
    ),
    moved AS (
      DELETE FROM pending_changes AS p WHERE p.ctid = ANY (ARRAY(
        SELECT oldest.tid FROM feed, LATERAL (
          SELECT ctid AS tid FROM pending_changes AS q WHERE q.project_id = feed.project_id
          ORDER BY q.wal_position LIMIT ${String(COLLECTED_MAX)}
        ) AS oldest))
      RETURNING p.*
    ),
    counted AS (
      UPDATE change_feeds AS f SET last_position = f.last_position + m.moved
      FROM (SELECT project_id, count(*) AS moved FROM moved GROUP BY project_id) AS m
      WHERE f.project_id = m.project_id
      RETURNING f.project_id, f.last_position - m.moved AS before
    ),
    added AS (
      INSERT INTO changes (project_id, position, ${CHANGE_COLUMNS})
      SELECT m.project_id, c.before + row_number() OVER (PARTITION BY m.project_id ORDER BY m.wal_position), ${CHANGE_COLUMNS}
      FROM moved AS m JOIN counted AS c USING (project_id)
      RETURNING 1
    )
    SELECT count(*) >= ${String(COLLECTED_MAX)} AS has_more FROM added`;
}

const COLLECT = { name: 'changes.collect', text: collectSql('f.project_id = $1') };

const FOLLOW = {
  name: 'changes.follow',
  text: `
    INSERT INTO change_feeds AS f (project_id, last_position, deleted_until, read_at) VALUES ($1, 0, 0, NULL)
    ON CONFLICT (project_id) DO UPDATE SET project_id = f.project_id
    RETURNING f.read_at IS NOT NULL AS is_followed`,
};

/** Committed before anybody follows: no reader has a cursor before them. */
const FORGET = { name: 'changes.forget', text: `DELETE FROM pending_changes WHERE project_id = $1` };

const TOUCH = {
  name: 'changes.touch',
  text: `UPDATE change_feeds SET read_at = now() WHERE project_id = $1 RETURNING last_position`,
};

const HEAD = {
  name: 'changes.head',
  text: `
    SELECT f.last_position, f.deleted_until, f.read_at < now() - ${READ_AT_ACCURACY} AS is_old,
      EXISTS (SELECT FROM pending_changes AS p WHERE p.project_id = $1) AS has_pending
    FROM change_feeds AS f WHERE f.project_id = $1 AND f.read_at IS NOT NULL`,
};

/** With the state of the feed in the same snapshot: what was deleted meanwhile is noticed. */
const READ = {
  name: 'changes.read',
  text: `
    SELECT f.deleted_until, c.position, ${CHANGE_COLUMNS}
    FROM change_feeds AS f LEFT JOIN LATERAL (
      SELECT * FROM changes AS c WHERE c.project_id = $1 AND c.position >= $2::bigint ORDER BY c.position LIMIT $3
    ) AS c ON true
    WHERE f.project_id = $1 AND f.read_at IS NOT NULL ORDER BY c.position`,
};

export type ChangeKind = 'created' | 'changed' | 'deleted';

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

  /** Starts to keep the changes of a project. @returns the position after those that were committed before */
  async follow(projectId: number): Promise<string> {
    return this.database.transaction(async (tx) => {
      const [feed] = await tx.query<{ is_followed: boolean }>(FOLLOW, [projectId]);
      if (feed?.is_followed === false) await tx.query(FORGET, [projectId]);
      const [row] = await tx.query<{ last_position: string }>(TOUCH, [projectId]);
      if (row === undefined) throw new Error('a feed that is locked does not exist');
      return row.last_position;
    });
  }

  /** Null where nobody has followed the changes of the project for long. */
  async head(projectId: number): Promise<FeedHead | null> {
    const [row] = await this.database.query<FeedHead>(HEAD, [projectId]);
    return row ?? null;
  }

  async touch(projectId: number): Promise<void> {
    await this.database.query(TOUCH, [projectId]);
  }

  /** Gives committed changes positions. @returns whether there may be more */
  async collect(projectId: number): Promise<boolean> {
    const [row] = await this.database.retrying(() => this.database.query<{ has_more: boolean }>(COLLECT, [projectId]));
    return row?.has_more === true;
  }

  /** The changes from a position on; null where some of them, or the feed, were deleted. */
  async read(projectId: number, from: string, limit: number): Promise<ChangeRow[] | null> {
    const rows = await this.database.query<
      Omit<ChangeRow, 'position'> & { position: string | null; deleted_until: string }
    >(READ, [projectId, from, limit]);
    const [first] = rows;
    if (first === undefined || BigInt(from) <= BigInt(first.deleted_until)) return null;
    return rows.filter((row) => row.position !== null) as ChangeRow[];
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

import { filterSql, type Filter } from '#filter';
import {
  beyondSql,
  cappedCount,
  Config,
  countRows,
  Database,
  isAscending,
  sliceSql,
  sqlTimeOf,
  toSlice,
  type Count,
  type ListSql,
  type PageRequest,
  type Queryable,
  type Slice,
} from '#platform';
import { Injectable } from '@nestjs/common';
import { isEverything } from './list.dto.js';

/** A stored object; `data` is JSON text that goes out as it is. */
export interface ObjectRow {
  seq: string;
  object_id: string;
  batch_id: string;
  subject: string | null;
  observed_at: string;
  data: string;
}

export interface NewObject {
  projectId: number;
  batchId: string;
  objectId: string;
  seq: bigint;
  subject: string | null;
  /** null for when it arrived. */
  observedAt: string | null;
  /** A JSON list of pairs. */
  data: string;
}

const COLUMNS = 'o.seq, o.object_id, o.batch_id, o.subject, o.observed_at, o.data';
const FILTER_COLUMNS = { data: 'o.data', batchId: 'o.batch_id', subject: 'o.subject', observedAt: 'o.observed_at' };

/**
 * How many of the newest objects a filtered page looks through one by one before it asks the GIN index. At 1 M objects the
 * walk costs 0.6 µs an object and the index 1 µs a match: with 2,000, a pair that one object in 200 has is found by the
 * walk, a rarer one has so few matches that the index is quick, and neither pays more than 1.2 ms for the other's sake.
 */
const WALK_ROWS = 2_000;
/** The same for counting to the cap, which needs a hundred times as many matches as a page of ten. */
const COUNT_WALK_ROWS = 30_000;

/**
 * Only bitmap scans, which read an index whole before the table. The planner, told to stop after a few rows, would rather
 * walk the table in order, which takes 600 ms at 1 M objects when all matches lie at the far end.
 */
const BEGIN_INDEXED =
  'BEGIN READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off';

const GET = {
  name: 'object.get',
  text: `SELECT ${COLUMNS} FROM objects AS o WHERE o.project_id = $1 AND o.object_id = $2`,
};

/** Counts the object into its batch and stores it; no row comes back when there is no such batch. */
const INSERT = {
  name: 'object.insert',
  text: `
    WITH batch AS (
      UPDATE batches SET object_count = object_count + 1, revision = $4::bigint
      WHERE project_id = $1::int AND batch_id = $2::text
      RETURNING project_id, batch_id
    )
    INSERT INTO objects AS o (project_id, batch_id, object_id, seq, subject, observed_at, data)
    SELECT project_id, batch_id, $3::text, $4::bigint, $5::text,
      coalesce($6::timestamptz, ${sqlTimeOf('$4::bigint')}), $7::jsonb
    FROM batch
    RETURNING ${COLUMNS}`,
};

/** The batch's lock comes first in every change, so that changes to one batch wait for each other and never deadlock. */
const LOCK_BATCH_OF = {
  name: 'object.lock-batch',
  text: `
    UPDATE batches AS b SET revision = $3::bigint, object_count = b.object_count - $4::int
    FROM objects AS o
    WHERE o.project_id = $1::int AND o.object_id = $2::text AND b.project_id = $1::int AND b.batch_id = o.batch_id
    RETURNING b.batch_id`,
};

const UPDATE = {
  name: 'object.update',
  text: `
    UPDATE objects AS o SET data = $3::jsonb, subject = $4::text,
      observed_at = coalesce($5::timestamptz, ${sqlTimeOf('o.seq')})
    WHERE o.project_id = $1::int AND o.object_id = $2::text
    RETURNING ${COLUMNS}`,
};

const DELETE = { name: 'object.delete', text: `DELETE FROM objects WHERE project_id = $1 AND object_id = $2` };

@Injectable()
export class ObjectStore {
  constructor(
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  async find(projectId: number, objectId: string, on: Queryable = this.database): Promise<ObjectRow | null> {
    const [row] = await on.query<ObjectRow>(GET, [projectId, objectId]);
    return row ?? null;
  }

  /** Null when there is no such batch; a unique violation when there is such an object. */
  async insert(object: NewObject): Promise<ObjectRow | null> {
    const { projectId, batchId, objectId, seq, subject, observedAt, data } = object;
    const values = [projectId, batchId, objectId, seq.toString(), subject, observedAt, data];
    const [row] = await this.database.query<ObjectRow>(INSERT, values);
    return row ?? null;
  }

  /** Which of these ids the project has already. */
  async existing(projectId: number, objectIds: readonly string[]): Promise<Set<string>> {
    const rows = await this.database.query<{ object_id: string }>(
      'SELECT object_id FROM objects WHERE project_id = $1 AND object_id = ANY ($2::text[])',
      [projectId, objectIds],
    );
    return new Set(rows.map((row) => row.object_id));
  }

  /** Locks the object's batch for a change of it; false when there is no such object. */
  async lockBatchOf(
    tx: Queryable,
    projectId: number,
    objectId: string,
    revision: bigint,
    removes: 0 | 1,
  ): Promise<boolean> {
    const rows = await tx.query(LOCK_BATCH_OF, [projectId, objectId, revision.toString(), removes]);
    return rows.length > 0;
  }

  async update(
    tx: Queryable,
    change: Pick<NewObject, 'projectId' | 'objectId' | 'data' | 'subject' | 'observedAt'>,
  ): Promise<ObjectRow | null> {
    const { projectId, objectId, data, subject, observedAt } = change;
    const [row] = await tx.query<ObjectRow>(UPDATE, [projectId, objectId, data, subject, observedAt]);
    return row ?? null;
  }

  async delete(tx: Queryable, projectId: number, objectId: string): Promise<void> {
    await tx.query(DELETE, [projectId, objectId]);
  }

  /**
   * A page of the objects that a filter matches, in time that is bounded by the page and the number of matches, not by
   * the table: first a short walk, which finds what is common; then the index, which finds what is rare or old.
   */
  async list(projectId: number, filter: Filter, page: PageRequest): Promise<{ slice: Slice<ObjectRow>; count: Count }> {
    const list = listSql(projectId, filter);
    if (isOrderedByIndex(filter)) {
      const { text, values } = sliceSql(list, page.place, page.size);
      const slice = toSlice(await this.database.query<ObjectRow>(text, values), page.place, page.size);
      return { slice, count: await this.count(list, page) };
    }
    const walk = walkSql(projectId, filter, page);
    const walked = await this.database.query<ObjectRow>(walk.text, walk.values);
    if (walked.length > page.size) {
      return {
        slice: toSlice(walked, page.place, page.size),
        count: await this.countCommon(projectId, filter, list, page),
      };
    }
    return this.database.transaction(async (tx) => {
      const { text, values } = sliceSql(list, page.place, page.size);
      const slice = toSlice(await tx.query<ObjectRow>(text, values), page.place, page.size);
      return { slice, count: await this.count(list, page, tx) };
    }, BEGIN_INDEXED);
  }

  /** The objects of a batch in the order sent, from after `seq`, at most `limit`. */
  ofBatch(
    projectId: number,
    batchId: string,
    seq: string,
    limit: number,
  ): Promise<(ObjectRow & { is_arrival: boolean })[]> {
    return this.database.query(
      {
        name: 'object.of-batch',
        text: `
          SELECT ${COLUMNS}, o.observed_at = ${sqlTimeOf('o.seq')} AS is_arrival FROM objects AS o
          WHERE o.project_id = $1 AND o.batch_id = $2 AND o.seq > $3::bigint
          ORDER BY o.seq LIMIT $4::int`,
      },
      [projectId, batchId, seq, limit],
    );
  }

  private count(list: ListSql, page: PageRequest, on: Queryable = this.database): Promise<Count> {
    return countRows(on, list, page.count, this.config.limits.countCap);
  }

  /** Counts to the cap what the walk found to be common: by walking on, and by the index where that is not enough. */
  private async countCommon(projectId: number, filter: Filter, list: ListSql, page: PageRequest): Promise<Count> {
    if (page.count !== 'capped') return this.count(list, page);
    const cap = this.config.limits.countCap;
    const { from, where, values } = newestSql(projectId, filter, COUNT_WALK_ROWS);
    const text = `SELECT count(*) FROM (SELECT 1 FROM ${from} WHERE ${where} LIMIT ${String(cap + 1)}) AS found`;
    const [row] = await this.database.query<{ count: string }>(text, values);
    if (Number(row?.count) > cap) return cappedCount(Number(row?.count), cap);
    return this.database.transaction((tx) => this.count(list, page, tx), BEGIN_INDEXED);
  }
}

/** True where a btree gives the matches in order: everything, or one batch whatever else is asked of it. */
function isOrderedByIndex(filter: Filter): boolean {
  return isEverything(filter) || (filter.kind === 'and' && filter.of.some((part) => part.kind === 'batch'));
}

function listSql(projectId: number, filter: Filter): ListSql {
  const values: unknown[] = [projectId];
  const where = `o.project_id = $1 AND ${filterSql(filter, FILTER_COLUMNS, values)}`;
  return { select: COLUMNS, from: 'objects AS o', where, seq: 'o.seq', values };
}

/** The page's rows among the first WALK_ROWS objects beyond its place. */
function walkSql(projectId: number, filter: Filter, page: PageRequest): { text: string; values: unknown[] } {
  const { from, where, values } = newestSql(projectId, filter, WALK_ROWS, page);
  return sliceSql({ select: COLUMNS, from, where, seq: 'o.seq', values }, page.place, page.size);
}

function newestSql(
  projectId: number,
  filter: Filter,
  rows: number,
  page?: PageRequest,
): Omit<ListSql, 'select' | 'seq'> {
  const values: unknown[] = [projectId];
  const beyond = page === undefined ? '' : beyondSql(page.place, 'seq', values);
  const order = page !== undefined && isAscending(page.place) ? 'ASC' : 'DESC';
  const from = `(SELECT * FROM objects WHERE project_id = $1${beyond} ORDER BY seq ${order} LIMIT ${String(rows)}) AS o`;
  return { from, where: filterSql(filter, FILTER_COLUMNS, values), values };
}

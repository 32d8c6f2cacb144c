import { conjunctsOf, filterSql, isEverything, type Filter } from '#filter';
import { Config } from '#platform';
import type { PageRequest } from '#http';
import { Database, timeOfSeqSql, type Queryable, readPage, type Count, type ListSql, type Slice } from '#database';
import { Injectable } from '@nestjs/common';
import {
  BATCH_COLUMNS,
  type BatchRow,
  boundedRowsSql,
  COLUMNS_WITHOUT_DATA,
  OBJECT_COLUMNS,
  OBJECT_FILTER_COLUMNS,
  type ObjectRow,
  rowsWithData,
  type WithoutData,
} from '#store';

/** An object inside its batch. */
export interface NestedRow extends ObjectRow {
  /** True where `observed_at` was not sent, so that it is the time at which the object was received. */
  has_default_time: boolean;
}

/** Objects of a batch in the order sent; `hasMore` when others follow. */
export interface BatchObjects {
  objects: NestedRow[];
  hasMore: boolean;
}

/** A batch and its first objects, of one snapshot. */
export interface BatchWithObjects extends BatchObjects {
  batch: BatchRow;
}

/** The most data that one statement reads, unless a single object is larger. */
const CHUNK_BYTES_MAX = 8 * 1024 * 1024;

const NESTED_COLUMNS = `${COLUMNS_WITHOUT_DATA}, has_default_time`;

function nestedRowsSql(condition: string, limit: string): string {
  const rows = `
    SELECT ${OBJECT_COLUMNS}, o.observed_at = ${timeOfSeqSql('o.seq')} AS has_default_time FROM objects AS o
    WHERE o.project_id = $1::int AND o.batch_id = $2::text AND ${condition}
    ORDER BY o.seq LIMIT ${limit}`;
  return boundedRowsSql(NESTED_COLUMNS, rows, CHUNK_BYTES_MAX);
}

/**
 * One statement, so that the batch and its objects are of one snapshot. A batch without objects returns one row, whose columns
 * of objects are null.
 */
const FIND_WITH_OBJECTS = {
  name: 'batch.find-with-objects',
  text: `
    SELECT b.seq AS batch_seq, b.object_count, b.revision, o.* FROM batches AS b
    LEFT JOIN LATERAL (
      ${nestedRowsSql('(NOT $4::boolean OR b.object_count <= $3::int)', '$3::int + 1')}
    ) AS o ON TRUE
    WHERE b.project_id = $1::int AND b.batch_id = $2::text ORDER BY o.seq`,
};

const OBJECTS_AFTER = {
  name: 'batch.objects-after',
  text: nestedRowsSql('o.seq > $3::bigint', '$4::int + 1'),
};

type FoundRow = Pick<BatchRow, 'object_count' | 'revision'> & { batch_seq: string } & (
    WithoutData<NestedRow> | { object_id: null }
  );

/** Reads batches and their objects; `BatchWriteStore` writes them. */
@Injectable()
export class BatchReadStore {
  constructor(
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /** A page of the batches that have a matching object, and their number. */
  list(projectId: number, filter: Filter, page: PageRequest): Promise<{ slice: Slice<BatchRow>; count: Count }> {
    return readPage(this.database, listSql(projectId, filter), page, this.config.limits.countCap);
  }

  /**
   * A batch and at most `limit` of its objects, fewer where they are large.
   * @param onlyIfWhole reads no objects of a batch that has more than `limit`
   */
  async findWithObjects(
    projectId: number,
    batchId: string,
    { limit, onlyIfWhole = false }: { limit: number; onlyIfWhole?: boolean },
    on: Queryable = this.database,
  ): Promise<BatchWithObjects | null> {
    const rows = await on.query<FoundRow>(FIND_WITH_OBJECTS, [projectId, batchId, limit, onlyIfWhole]);
    const [row] = rows;
    if (row === undefined) return null;
    const { batch_seq: seq, object_count, revision } = row;
    const objects = rows.flatMap((one) => (one.object_id === null ? [] : [one]));
    const { hasMore, ...found } = cut(objects, limit);
    const isLeftOut = onlyIfWhole && Number(object_count) > limit;
    return { batch: { batch_id: batchId, seq, object_count, revision }, ...found, hasMore: hasMore || isLeftOut };
  }

  /** Objects of a batch after `seq`: at most `limit`, fewer where they are large. */
  async objectsAfter(
    on: Queryable,
    projectId: number,
    batchId: string,
    seq: string,
    limit: number,
  ): Promise<BatchObjects> {
    return cut(await on.query<WithoutData<NestedRow>>(OBJECTS_AFTER, [projectId, batchId, seq, limit]), limit);
  }
}

function listSql(projectId: number, filter: Filter): ListSql {
  const values: unknown[] = [projectId];
  const parts = conjunctsOf(filter);
  const conditions = parts
    .filter((part) => part.kind === 'batch')
    .map((part) => filterSql(part, { ...OBJECT_FILTER_COLUMNS, batchId: 'b.batch_id' }, values));
  const ofObjects: Filter = { kind: 'and', of: parts.filter((part) => part.kind !== 'batch') };
  if (!isEverything(ofObjects)) {
    const matches = filterSql(ofObjects, OBJECT_FILTER_COLUMNS, values);
    conditions.push(
      `EXISTS (SELECT FROM objects AS o WHERE o.project_id = $1 AND o.batch_id = b.batch_id AND ${matches})`,
    );
  }
  return {
    select: BATCH_COLUMNS,
    from: 'batches AS b',
    where: ['b.project_id = $1', ...conditions].join(' AND '),
    seq: 'b.seq',
    values,
  };
}

function cut(rows: readonly WithoutData<NestedRow>[], limit: number): BatchObjects {
  const objects = rowsWithData(rows.slice(0, limit));
  return { objects, hasMore: objects.length < rows.length };
}

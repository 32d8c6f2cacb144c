import { filterSql, type Filter } from '#filter';
import { Config } from '#platform';
import type { ListOrder, PageRequest } from '#http';
import {
  Database,
  countRows,
  readSlice,
  type Count,
  type CountMode,
  type ListSql,
  type Queryable,
  type Slice,
} from '#database';
import { Injectable } from '@nestjs/common';
import {
  boundedRowsSql,
  boundedSlice,
  COLUMNS_WITHOUT_DATA,
  OBJECT_COLUMNS,
  OBJECT_FILTER_COLUMNS,
  readWithMemory,
  type ObjectRow,
  type WithoutData,
} from '#store';

/** An object in a list sorted by `observed_at`. */
export interface Observation extends ObjectRow {
  keys: [observedAt: string];
}

/** The order of the list. */
export const LATEST_FIRST: ListOrder = { isAscending: false, keys: ['time'] };

/** Selects the observations of one subject. */
export interface ObservationFilter {
  subject: string;
  filter: Filter;
  /** Only objects with a `measure`, which the index includes. */
  isMeasured?: true;
}

/** Reads the objects of a subject, ordered by `observed_at`. */
@Injectable()
export class ObservationStore {
  constructor(
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /**
   * The latest first. The index on (project_id, subject, observed_at, seq) has them in order, so a page reads only its own rows.
   * @throws Problem invalid-query for a page that is too large
   */
  async page(projectId: number, filter: ObservationFilter, page: PageRequest): Promise<Slice<Observation>> {
    const { pageBytesMax } = this.config.limits;
    const list = listSql(projectId, filter);
    const slice = await readWithMemory(page, pageBytesMax, (bytesMax) => {
      const wrap = (rows: string): string => boundedRowsSql(COLUMNS_WITHOUT_DATA, rows, bytesMax);
      return readSlice<WithoutData<ObjectRow>>(page.on ?? this.database, { ...list, wrap }, page);
    });
    const { items, ...sides } = boundedSlice<ObjectRow>(slice, page.position, pageBytesMax);
    return { items: items.map((row) => ({ ...row, keys: [row.observed_at] })), ...sides };
  }

  /** Counts the list in the requested mode. @throws QueryTimeoutError where `on` cancels it */
  count(projectId: number, filter: ObservationFilter, mode: CountMode, on: Queryable = this.database): Promise<Count> {
    return countRows(on, listSql(projectId, filter), mode, this.config.limits.countCap);
  }
}

function listSql(projectId: number, { subject, filter, isMeasured }: ObservationFilter): ListSql {
  const values: unknown[] = [projectId, subject];
  const measured = isMeasured ? ' AND o.measure IS NOT NULL' : '';
  const where = `o.project_id = $1 AND o.subject = $2${measured} AND ${filterSql(filter, OBJECT_FILTER_COLUMNS, values)}`;
  const sort = [{ sql: 'o.observed_at', type: 'timestamptz' }] as const;
  return { select: OBJECT_COLUMNS, from: 'objects AS o', where, seq: 'o.seq', sort, values };
}

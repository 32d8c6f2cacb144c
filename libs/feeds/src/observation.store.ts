import { filterSql, type Filter } from '#filter';
import { Config } from '#platform';
import { countRows, readSlice, type Count, type ListSql, type PageRequest, type Slice } from '#http';
import { Database } from '#database';
import { Injectable } from '@nestjs/common';
import {
  boundedRowsSql,
  boundedSlice,
  COLUMNS_WITHOUT_DATA,
  OBJECT_COLUMNS,
  OBJECT_FILTER_COLUMNS,
  type ObjectRow,
  type WithoutData,
} from '#store';

/** An object in a list that is ordered by when things happened. */
export interface Observation extends ObjectRow {
  at: string;
}

/** What of what is known about a subject. */
export interface About {
  subject: string;
  filter: Filter;
  /** Only what has a measure, which the index tells. */
  isMeasured?: true;
}

/** What is known about a subject, in the order in which it happened, which need not be that in which it arrived. */
@Injectable()
export class ObservationStore {
  constructor(
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /**
   * The latest first. The index of (project_id, subject, observed_at, seq) gives them in order, so that a page costs a page.
   * @throws Problem invalid-query for a page that is too large
   */
  async page(projectId: number, about: About, page: PageRequest): Promise<Slice<Observation>> {
    const { pageBytesMax } = this.config.limits;
    const around = (rows: string): string => boundedRowsSql(`${COLUMNS_WITHOUT_DATA}, at`, rows, pageBytesMax);
    const list = { ...listSql(projectId, about), around };
    const slice = await readSlice<WithoutData<Observation>>(this.database, list, page);
    return boundedSlice<Observation>(slice, page.position, pageBytesMax);
  }

  /** How many the list has in all, as far as the page asks. */
  count(projectId: number, about: About, mode: PageRequest['count']): Promise<Count> {
    return countRows(this.database, listSql(projectId, about), mode, this.config.limits.countCap);
  }
}

function listSql(projectId: number, { subject, filter, isMeasured }: About): ListSql {
  const values: unknown[] = [projectId, subject];
  const measured = isMeasured ? ' AND o.measure IS NOT NULL' : '';
  const where = `o.project_id = $1 AND o.subject = $2${measured} AND ${filterSql(filter, OBJECT_FILTER_COLUMNS, values)}`;
  const select = `${OBJECT_COLUMNS}, o.observed_at AS at`;
  return { select, from: 'objects AS o', where, seq: 'o.seq', time: 'o.observed_at', values };
}

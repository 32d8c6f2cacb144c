import { filterSql, type Filter } from '#filter';
import { Database, readSlice, type PageRequest, type Slice } from '#platform';
import { Injectable } from '@nestjs/common';
import { OBJECT_COLUMNS, type ObjectRow } from './object.store.js';

const FILTER_COLUMNS = { data: 'o.data', batchId: 'o.batch_id', subject: 'o.subject', observedAt: 'o.observed_at' };

/** An object in a list that is ordered by when things happened. */
export interface Observation extends ObjectRow {
  at: string;
}

/** What is known about a subject, in the order in which it happened, which need not be that in which it arrived. */
@Injectable()
export class ObservationStore {
  constructor(private readonly database: Database) {}

  /** The latest first. The index of (project_id, subject, observed_at) gives them in order, so that a page costs a page. */
  page(projectId: number, subject: string, filter: Filter, page: PageRequest): Promise<Slice<Observation>> {
    const values: unknown[] = [projectId, subject];
    const where = `o.project_id = $1 AND o.subject = $2 AND ${filterSql(filter, FILTER_COLUMNS, values)}`;
    const select = `${OBJECT_COLUMNS}, o.observed_at AS at`;
    return readSlice<Observation>(
      this.database,
      { select, from: 'objects AS o', where, seq: 'o.seq', time: 'o.observed_at', values },
      page,
    );
  }
}

import { filterSql, isEverything, type Filter } from '#filter';
import { Config } from '#platform';
import { countRows, readSlice, type Count, type ListSql, type PageRequest, type Slice } from '#http';
import { Database } from '#database';
import { Injectable } from '@nestjs/common';
import { BATCH_COLUMNS, type BatchRow, OBJECT_FILTER_COLUMNS } from '#store';

@Injectable()
export class BatchStore {
  constructor(
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  async list(projectId: number, filter: Filter, page: PageRequest): Promise<{ slice: Slice<BatchRow>; count: Count }> {
    const list = listSql(projectId, filter);
    const slice = await readSlice<BatchRow>(this.database, list, page);
    return { slice, count: await countRows(this.database, list, page.count, this.config.limits.countCap) };
  }
}

function listSql(projectId: number, filter: Filter): ListSql {
  const values: unknown[] = [projectId];
  const parts = filter.kind === 'and' ? filter.of : [filter];
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

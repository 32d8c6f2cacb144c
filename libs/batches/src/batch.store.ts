import { filterSql, isEverything, type Filter } from '#filter';
import { Config } from '#platform';
import { countRows, readSlice, type Count, type ListSql, type PageRequest, type Slice } from '#http';
import { Database, isUniqueViolation } from '#database';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import type { CheckedObject } from './batch-source.js';
import {
  addObjectsSql,
  BATCH_COLUMNS,
  BatchEntity,
  type BatchRow,
  insertRow,
  invalidateRollupsSql,
  NEW_BATCH_COLUMNS,
  OBJECT_FILTER_COLUMNS,
  ROLLUP_COLUMNS,
} from '#store';

/**
 * The batch and all of its objects in one statement, so one transaction and one round trip. `data` is PostgreSQL's own
 * reading of the client's text: no digit passes through JavaScript.
 */
const INSERT = {
  name: 'batch.insert',
  text: `
    WITH batch AS (
      INSERT INTO batches (${NEW_BATCH_COLUMNS})
      VALUES ($1::int, $2::text, $3::bigint, $4::bigint, $3::bigint)
    ),
    ${addObjectsSql()}`,
};

const DELETE = {
  name: 'batch.delete',
  text: `DELETE FROM batches WHERE project_id = $1 AND batch_id = $2 AND (object_count = 0 OR $3::boolean) RETURNING object_count`,
};

const DELETE_OBJECTS = {
  name: 'batch.delete-objects',
  text: `
    WITH gone AS (DELETE FROM objects WHERE project_id = $1 AND batch_id = $2 RETURNING ${ROLLUP_COLUMNS})
    ${invalidateRollupsSql('gone')}`,
};

@Injectable()
export class BatchStore {
  constructor(
    @InjectRepository(BatchEntity) private readonly batches: Repository<BatchEntity>,
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /**
   * Stores a small batch whole or not at all; a unique violation when an id exists. Done twice it comes to the same: a batch
   * of this very `seq` is ours, stored by an attempt whose answer was lost.
   */
  async insert(projectId: number, batchId: string, seq: bigint, objects: readonly CheckedObject[]): Promise<void> {
    const rows = `[${objects.map(insertRow).join()}]`;
    await this.database.retrying(async () => {
      try {
        await this.database.query(INSERT, [projectId, batchId, seq.toString(), objects.length, rows]);
      } catch (error) {
        const stored = isUniqueViolation(error) ? await this.find(projectId, batchId) : null;
        if (stored?.seq !== seq.toString()) throw error;
      }
    });
  }

  find(projectId: number, batchId: string): Promise<BatchRow | null> {
    return this.batches.findOneBy({ project_id: projectId, batch_id: batchId });
  }

  /** The number of objects deleted with it; null when nothing was: no such batch, or not empty and no cascade. */
  delete(projectId: number, batchId: string, cascade: boolean): Promise<number | null> {
    return this.database.transaction(async (tx) => {
      // First the batch, whose lock keeps new objects out; then, seeing all that came before, the objects.
      const [row] = await tx.query<{ object_count: string }>(DELETE, [projectId, batchId, cascade]);
      if (row === undefined) return null;
      if (cascade) await tx.query(DELETE_OBJECTS, [projectId, batchId]);
      return Number(row.object_count);
    });
  }

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

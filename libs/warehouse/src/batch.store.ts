import { filterSql, type Filter } from '#filter';
import {
  Config,
  countRows,
  Database,
  isUniqueViolation,
  readSlice,
  SEQ_STEP,
  sqlTimeOf,
  type Count,
  type ListSql,
  type PageRequest,
  type Slice,
} from '#platform';
import { Injectable } from '@nestjs/common';
import type { IncomingBatch } from './ingest.js';
import { isEverything } from './list.dto.js';

export interface BatchRow {
  seq: string;
  batch_id: string;
  object_count: string;
  /** Another one after every change to the batch or an object of it. */
  revision: string;
}

/**
 * The batch and all of its objects in one statement, so one transaction and one round trip. The objects are PostgreSQL's
 * own reading of the client's text: no digit passes through JavaScript. Measured with batches of 5,000: jsonb_to_recordset
 * 59 ms, json_to_recordset 92 ms, jsonb_array_elements 56 ms with each field picked out by hand. The text goes as the bytes
 * that came, which JavaScript need neither hold as a string nor encode again.
 */
const INSERT = {
  name: 'batch.insert',
  text: `
    WITH batch AS (
      INSERT INTO batches (project_id, batch_id, seq, object_count, revision)
      VALUES ($1::int, $2::text, $3::bigint, $4::bigint, $3::bigint)
    )
    INSERT INTO objects (project_id, batch_id, object_id, seq, subject, observed_at, data)
    SELECT $1::int, $2::text, o.object_id, s.seq, o.subject, coalesce(o.observed_at, ${sqlTimeOf('s.seq')}), o.data
    FROM ROWS FROM (
      jsonb_to_recordset(convert_from($5::bytea, 'UTF8')::jsonb -> 'objects')
        AS (object_id text, subject text, observed_at timestamptz, data jsonb)
    ) WITH ORDINALITY AS o (object_id, subject, observed_at, data, place),
    LATERAL (SELECT $3::bigint + (o.place - 1) * ${String(SEQ_STEP)} AS seq) AS s`,
};

const COLUMNS = 'b.seq, b.batch_id, b.object_count, b.revision';

const GET = {
  name: 'batch.get',
  text: `SELECT ${COLUMNS} FROM batches AS b WHERE b.project_id = $1 AND b.batch_id = $2`,
};

const DELETE = {
  name: 'batch.delete',
  text: `DELETE FROM batches WHERE project_id = $1 AND batch_id = $2 AND (object_count = 0 OR $3::boolean) RETURNING object_count`,
};

const DELETE_OBJECTS = {
  name: 'batch.delete-objects',
  text: `DELETE FROM objects WHERE project_id = $1 AND batch_id = $2`,
};

/** A filter of batches asks for one object that fulfils all of it, but for the batch's own id. */
const OBJECT_COLUMNS = { data: 'o.data', batchId: 'o.batch_id', subject: 'o.subject', observedAt: 'o.observed_at' };

@Injectable()
export class BatchStore {
  constructor(
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /**
   * Stores a batch whole or not at all; a unique violation when an id exists. Done twice it comes to the same: a batch of
   * this very `seq` is ours, stored by an attempt whose answer was lost.
   */
  async insert(projectId: number, seq: bigint, batch: IncomingBatch): Promise<void> {
    const values = [projectId, batch.batchId, seq.toString(), batch.objectIds.length, batch.json];
    await this.database.retrying(async () => {
      try {
        await this.database.query(INSERT, values);
      } catch (error) {
        const stored = isUniqueViolation(error) ? await this.find(projectId, batch.batchId) : null;
        if (stored?.seq !== seq.toString()) throw error;
      }
    });
  }

  async find(projectId: number, batchId: string): Promise<BatchRow | null> {
    const [row] = await this.database.query<BatchRow>(GET, [projectId, batchId]);
    return row ?? null;
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
    .map((part) => filterSql(part, { ...OBJECT_COLUMNS, batchId: 'b.batch_id' }, values));
  const ofObjects: Filter = { kind: 'and', of: parts.filter((part) => part.kind !== 'batch') };
  if (!isEverything(ofObjects)) {
    const matches = filterSql(ofObjects, OBJECT_COLUMNS, values);
    conditions.push(
      `EXISTS (SELECT FROM objects AS o WHERE o.project_id = $1 AND o.batch_id = b.batch_id AND ${matches})`,
    );
  }
  return {
    select: COLUMNS,
    from: 'batches AS b',
    where: ['b.project_id = $1', ...conditions].join(' AND '),
    seq: 'b.seq',
    values,
  };
}

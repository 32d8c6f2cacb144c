import { Database, timeOfSeqSql, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import {
  invalidateRollupsSql,
  NEW_OBJECT_COLUMNS,
  OBJECT_COLUMNS,
  ObjectEntity,
  type ObjectRow,
  ROLLUP_COLUMNS,
} from '#store';

export interface NewObject {
  projectId: number;
  batchId: string;
  objectId: string;
  seq: bigint;
  subject: string | null;
  /** RFC 3339; null for the time of arrival. */
  observedAt: string | null;
  /** A JSON list of pairs. */
  data: string;
}

const GET = {
  name: 'object.get',
  text: `SELECT ${OBJECT_COLUMNS} FROM objects AS o WHERE o.project_id = $1 AND o.object_id = $2`,
};

const GET_ALL = `SELECT ${OBJECT_COLUMNS} FROM objects AS o WHERE o.project_id = $1 AND o.object_id = ANY ($2::text[])`;

/** Adds the object to the count of its batch and stores it; no row where the batch does not exist. */
const INSERT = {
  name: 'object.insert',
  text: `
    WITH batch AS (
      UPDATE batches SET object_count = object_count + 1, revision = $4::bigint, digest = NULL
      WHERE project_id = $1::int AND batch_id = $2::text
      RETURNING project_id, batch_id
    ),
    o AS (
      INSERT INTO objects (${NEW_OBJECT_COLUMNS})
      SELECT project_id, batch_id, $3::text, $4::bigint, $5::text,
        coalesce($6::timestamptz, ${timeOfSeqSql('$4::bigint')}), $7::jsonb
      FROM batch
      RETURNING *
    ),
    invalidated AS (${invalidateRollupsSql('o')})
    SELECT ${OBJECT_COLUMNS} FROM o`,
};

/** Every change locks the batch first, so that changes to one batch wait for each other and never deadlock. */
const LOCK_BATCH_OF = {
  name: 'object.lock-batch',
  text: `
    UPDATE batches AS b SET revision = $3::bigint, object_count = b.object_count - $4::int, digest = NULL
    FROM objects AS o
    WHERE o.project_id = $1::int AND o.object_id = $2::text AND b.project_id = $1::int AND b.batch_id = o.batch_id
    RETURNING b.batch_id`,
};

const UPDATE = {
  name: 'object.update',
  text: `
    WITH old_rows AS (SELECT ${ROLLUP_COLUMNS} FROM objects WHERE project_id = $1::int AND object_id = $2::text),
    o AS (
      UPDATE objects SET data = $3::jsonb, subject = $4::text,
        observed_at = coalesce($5::timestamptz, ${timeOfSeqSql('seq')})
      WHERE project_id = $1::int AND object_id = $2::text
      RETURNING *
    ),
    invalidated AS (${invalidateRollupsSql(`(TABLE old_rows UNION ALL SELECT ${ROLLUP_COLUMNS} FROM o)`)})
    SELECT ${OBJECT_COLUMNS} FROM o`,
};

const DELETE = {
  name: 'object.delete',
  text: `
    WITH deleted AS (DELETE FROM objects WHERE project_id = $1 AND object_id = $2 RETURNING ${ROLLUP_COLUMNS})
    ${invalidateRollupsSql('deleted')}`,
};

@Injectable()
export class ObjectStore {
  constructor(
    @InjectRepository(ObjectEntity) private readonly objects: Repository<ObjectEntity>,
    private readonly database: Database,
  ) {}

  async find(projectId: number, objectId: string, on: Queryable = this.database): Promise<ObjectRow | null> {
    const [row] = await on.query<ObjectRow>(GET, [projectId, objectId]);
    return row ?? null;
  }

  /** Whether this object is stored: the same id with the same sequence number. */
  isStored({ projectId, objectId, seq }: Pick<NewObject, 'projectId' | 'objectId' | 'seq'>): Promise<boolean> {
    return this.objects.existsBy({ project_id: projectId, object_id: objectId, seq: seq.toString() });
  }

  /** The objects of these ids that exist, in any order. */
  findAll(projectId: number, objectIds: readonly string[], on: Queryable = this.database): Promise<ObjectRow[]> {
    return on.query<ObjectRow>(GET_ALL, [projectId, objectIds]);
  }

  /** Null where the batch does not exist; a unique violation where the object exists. */
  async insert(object: NewObject, on: Queryable = this.database): Promise<ObjectRow | null> {
    const { projectId, batchId, objectId, seq, subject, observedAt, data } = object;
    const values = [projectId, batchId, objectId, seq.toString(), subject, observedAt, data];
    const [row] = await on.query<ObjectRow>(INSERT, values);
    return row ?? null;
  }

  /** Locks the batch of an object and gives it a new revision. @returns its id; null where the object does not exist */
  async lockBatchOf(
    tx: Queryable,
    projectId: number,
    objectId: string,
    revision: bigint,
    removes: 0 | 1,
  ): Promise<string | null> {
    const values = [projectId, objectId, revision.toString(), removes];
    const [row] = await tx.query<{ batch_id: string }>(LOCK_BATCH_OF, values);
    return row?.batch_id ?? null;
  }

  /** Replaces the content of an object whose batch is locked. */
  async update(
    tx: Queryable,
    change: Pick<NewObject, 'projectId' | 'objectId' | 'data' | 'subject' | 'observedAt'>,
  ): Promise<ObjectRow> {
    const { projectId, objectId, data, subject, observedAt } = change;
    const [row] = await tx.query<ObjectRow>(UPDATE, [projectId, objectId, data, subject, observedAt]);
    if (row === undefined) throw new Error('an object of a locked batch does not exist');
    return row;
  }

  async delete(tx: Queryable, projectId: number, objectId: string): Promise<void> {
    await tx.query(DELETE, [projectId, objectId]);
  }
}

import { Database, timeOfSeqSql, type Queryable } from '#database';
import { EncryptedKeys } from '#encryption';
import { addPendingSql, changedObjectsSql, deletedObjectsSql } from '#inverted-index';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import {
  type AddOptions,
  dataBytes,
  insertOneObject,
  invalidateRollupsSql,
  NEW_OBJECT_COLUMNS,
  OBJECT_COLUMNS,
  ObjectEntity,
  type ObjectRow,
  recordChangedSql,
  recordCreatedSql,
  recordDeletedSql,
  ROLLUP_COLUMNS,
} from '#store';
import { keepDeletedSql, keepObjectsSql } from '#undelete';
import { addUsageSql, subtractUsageSql, UsageStore } from '#usage';

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

/** The new content of an object. */
export interface ObjectChange extends Pick<NewObject, 'projectId' | 'objectId' | 'data' | 'subject' | 'observedAt'> {
  /** Whether `data` is that of the object, so that the stored one stays as it is. */
  isSameData?: boolean;
}

const GET = {
  name: 'object.get',
  text: `SELECT ${OBJECT_COLUMNS} FROM objects AS o WHERE o.project_id = $1 AND o.object_id = $2`,
};

const GET_ALL = `SELECT ${OBJECT_COLUMNS} FROM objects AS o WHERE o.project_id = $1 AND o.object_id = ANY ($2::text[])`;

/** Adds an object to the count of its batch; no row where the batch does not exist. @param seq that of the object */
const countInBatchSql = (seq: string): string => `
  UPDATE batches SET object_count = object_count + 1, revision = ${seq}::bigint, digest = NULL
  WHERE project_id = $1::int AND batch_id = $2::text
  RETURNING project_id, batch_id`;

/** Adds the object to the count of its batch and stores it; no row where the batch does not exist. */
const insertSql = ({ addsUsage, hasSubjects }: Omit<AddOptions, 'isBatch'>): string => `
    WITH batch AS (
      ${countInBatchSql('$4')}
    ),
    o AS (
      INSERT INTO objects (${NEW_OBJECT_COLUMNS})
      SELECT project_id, batch_id, $3::text, $4::bigint, $5::text,
        coalesce($6::timestamptz, ${timeOfSeqSql('$4::bigint')}), $7::jsonb, $8::int
      FROM batch
      RETURNING *
    ),
    pending AS (${addPendingSql('o')}),
    recorded AS (${recordCreatedSql('o', { isBatch: false })})
    ${hasSubjects ? `, invalidated AS (${invalidateRollupsSql('o')})` : ''}
    ${addsUsage ? `, usage AS (${addUsageSql('o')})` : ''}
    SELECT ${OBJECT_COLUMNS} FROM o`;

/** A transaction of its own, which adds the object to the usage of the project at its end. */
const INSERT = { name: 'object.insert', text: insertSql({ addsUsage: true, hasSubjects: false }) };
const INSERT_WITH_SUBJECT = {
  name: 'object.insert-subject',
  text: insertSql({ addsUsage: true, hasSubjects: true }),
};

/** In a transaction, which adds it to the usage in another statement. */
const INSERT_ONLY = { name: 'object.insert-only', text: insertSql({ addsUsage: false, hasSubjects: true }) };

/** The first of several short statements, on a cluster. */
const COUNT = { name: 'object.count-in-batch', text: countInBatchSql('$3') };

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
    WITH old_rows AS MATERIALIZED (SELECT ${ROLLUP_COLUMNS}, bytes FROM objects WHERE project_id = $1::int AND object_id = $2::text),
    o AS (
      UPDATE objects SET data = coalesce($3::jsonb, data), bytes = coalesce($6::int, bytes), subject = $4::text,
        observed_at = coalesce($5::timestamptz, ${timeOfSeqSql('seq')})
      WHERE project_id = $1::int AND object_id = $2::text
      RETURNING *
    ),
    ${changedObjectsSql('(SELECT * FROM o WHERE $6::int IS NOT NULL) AS changed')},
    recorded AS (${recordChangedSql('o')}),
    invalidated AS (${invalidateRollupsSql(`(TABLE old_rows UNION ALL SELECT ${ROLLUP_COLUMNS}, bytes FROM o)`)})
    SELECT ${OBJECT_COLUMNS}, o.bytes - (SELECT bytes FROM old_rows) AS bytes_added FROM o`,
};

const DELETE = {
  name: 'object.delete',
  text: `
    WITH ${keepObjectsSql('o.object_id = $2', '$3')},
    deleted AS (DELETE FROM objects WHERE project_id = $1 AND object_id = $2
      RETURNING ${ROLLUP_COLUMNS}, bytes, seq, batch_id, object_id),
    ${keepDeletedSql('deleted', { id: '$3', objectId: '$2' })},
    ${deletedObjectsSql('deleted')},
    recorded AS (${recordDeletedSql('deleted')}),
    usage AS (${subtractUsageSql('deleted', '$3')})
    ${invalidateRollupsSql('deleted')}`,
};

@Injectable()
export class ObjectStore {
  constructor(
    @InjectRepository(ObjectEntity) private readonly objects: Repository<ObjectEntity>,
    private readonly usage: UsageStore,
    private readonly encryption: EncryptedKeys,
    private readonly database: Database,
  ) {}

  async find(projectId: number, objectId: string, on: Queryable = this.database): Promise<ObjectRow | null> {
    const [row] = await on.query<ObjectRow>(GET, [projectId, objectId]);
    return row === undefined ? null : this.opened(projectId, row);
  }

  /** The size of an object's data as it would be stored. */
  async storedBytes({
    projectId,
    objectId,
    data,
  }: Pick<NewObject, 'projectId' | 'objectId' | 'data'>): Promise<number> {
    return dataBytes(await this.encryption.seal(projectId, objectId, data));
  }

  /** Whether this object is stored: the same id with the same sequence number. */
  isStored({ projectId, objectId, seq }: Pick<NewObject, 'projectId' | 'objectId' | 'seq'>): Promise<boolean> {
    return this.objects.existsBy({ project_id: projectId, object_id: objectId, seq: seq.toString() });
  }

  /** The objects of these ids that exist, in any order. */
  async findAll(
    projectId: number,
    objectIds: readonly string[],
    on: Queryable = this.database,
  ): Promise<readonly ObjectRow[]> {
    return this.encryption.openRows(projectId, await on.query<ObjectRow>(GET_ALL, [projectId, objectIds]));
  }

  /** Null where the batch does not exist; a unique violation where the object exists. @param tx default: one of its own */
  async insert(object: NewObject, tx?: Queryable): Promise<ObjectRow | null> {
    const { projectId, objectId } = object;
    const sealed = { ...object, data: await this.encryption.seal(projectId, objectId, object.data) };
    const row = await this.insertSealed(sealed, tx);
    return row === null ? null : this.opened(projectId, row);
  }

  private async insertSealed(object: NewObject, tx?: Queryable): Promise<ObjectRow | null> {
    if (this.database.isDistributed) {
      return tx === undefined
        ? this.database.transaction((own) => this.insertInSteps(object, own))
        : this.insertInSteps(object, tx);
    }
    const { projectId, batchId, objectId, seq, subject, observedAt, data } = object;
    const values = [projectId, batchId, objectId, seq.toString(), subject, observedAt, data, dataBytes(data)];
    const alone = subject === null ? INSERT : INSERT_WITH_SUBJECT;
    const [row] = await (tx === undefined
      ? this.database.query<ObjectRow>(alone, values)
      : tx.query<ObjectRow>(INSERT_ONLY, values));
    if (row === undefined) return null;
    if (tx !== undefined) await this.usage.add(tx, projectId, { objects: 1, bytes: dataBytes(data) });
    return row;
  }

  private async insertInSteps(object: NewObject, tx: Queryable): Promise<ObjectRow | null> {
    const { projectId, batchId, data } = object;
    const seq = object.seq.toString();
    if ((await tx.query(COUNT, [projectId, batchId, seq])).length === 0) return null;
    const row = await insertOneObject(tx, { projectId, batchId, seq, isBatch: false }, object);
    await this.usage.add(tx, projectId, { objects: 1, bytes: dataBytes(data) });
    return row;
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

  /** Replaces the content of an object whose batch is locked, and adds the difference to the usage of the project. */
  async update(tx: Queryable, change: ObjectChange): Promise<ObjectRow> {
    const { projectId, objectId, subject, observedAt, isSameData = false } = change;
    const data = isSameData ? null : await this.encryption.seal(projectId, objectId, change.data);
    const values = [projectId, objectId, data, subject, observedAt, data === null ? null : dataBytes(data)];
    const [found] = await tx.query<ObjectRow & { bytes_added: number }>(UPDATE, values);
    if (found === undefined) throw new Error('an object of a locked batch does not exist');
    const { bytes_added: bytesAdded, ...row } = found;
    await this.usage.add(tx, projectId, { objects: 0, bytes: bytesAdded });
    return this.opened(projectId, row);
  }

  /** @param deletionId null where it cannot be restored */
  async delete(tx: Queryable, projectId: number, objectId: string, deletionId: string | null): Promise<void> {
    await tx.query(DELETE, [projectId, objectId, deletionId]);
  }

  private async opened(projectId: number, row: ObjectRow): Promise<ObjectRow> {
    return { ...row, data: await this.encryption.open(projectId, row.object_id, row.data) };
  }
}

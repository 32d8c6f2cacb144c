import type { Queryable } from '#database';
import { EncryptedKeys } from '#encryption';
import { Injectable } from '@nestjs/common';
import { STAGED_OBJECTS, STORED_OBJECTS, type BatchTarget } from './batch-write.store.js';

/** The text that one fetch reads of each of the two, or one larger object. */
const FETCHED_BYTES = 1024 ** 2;
const FETCHED_MAX = 500;

/** Whether the same value of a project may be stored in several texts. */
const MAY_DIFFER = `
  SELECT FROM projects WHERE project_id = $1 AND (encryption_cursor IS NOT NULL OR (SELECT count(*) FROM data_keys) > 1)`;
/** Two statements, because one of the tables is temporary. */
const sizeSql = (table: string): string =>
  `SELECT count(*)::int AS objects, coalesce(max(bytes), 1) AS largest FROM ${table}`;
const STAGED_SIZE = sizeSql('staged');
const STORED_SIZE = sizeSql('objects WHERE project_id = $1 AND batch_id = $2');

const openSql = (cursor: string, objects: string): string => `
  DECLARE ${cursor} NO SCROLL CURSOR FOR
  SELECT object_id, jsonb_build_array(object_id, subject, observed_at)::text AS head, data FROM (${objects}) AS o ORDER BY seq`;
const OPEN_STAGED = openSql('staged_batch', STAGED_OBJECTS);
const OPEN_STORED = openSql('stored_batch', STORED_OBJECTS);
const CLOSE = ['CLOSE staged_batch', 'CLOSE stored_batch'];

interface Size {
  objects: number;
  /** The bytes of the largest object. */
  largest: number;
}

interface Row {
  object_id: string;
  /** Everything but the data. */
  head: string;
  data: string;
}

/**
 * Compares batches by their values in clear text. After a change of the list of encrypted keys, or of the data key, the same value may be
 * stored in another text until the maintenance task has changed it.
 */
@Injectable()
export class OpenedBatch {
  constructor(private readonly encryption: EncryptedKeys) {}

  /**
   * Whether the staged objects are those of a locked batch, although their texts differ. Reads until the first difference, and no objects
   * while each value has only one text, nor where the two have not as many of them.
   */
  async isSame(tx: Queryable, target: BatchTarget): Promise<boolean> {
    const [projectId] = target;
    if (this.encryption.unsearchableKeysOf(projectId) === null) return false;
    if ((await tx.query(MAY_DIFFER, [projectId])).length === 0) return false;
    const [staged] = await tx.query<Size>(STAGED_SIZE);
    const [stored] = await tx.query<Size>(STORED_SIZE, target);
    if (staged === undefined || staged.objects !== stored?.objects) return false;
    const largest = Math.max(1, staged.largest, stored.largest);
    const count = Math.max(1, Math.min(FETCHED_MAX, Math.floor(FETCHED_BYTES / largest)));
    await tx.query(OPEN_STAGED);
    await tx.query(OPEN_STORED, target);
    const isSame = await this.isSameRest(tx, projectId, count);
    for (const close of CLOSE) await tx.query(close);
    return isSame;
  }

  private async isSameRest(tx: Queryable, projectId: number, count: number): Promise<boolean> {
    for (;;) {
      const staged = await tx.query<Row>(`FETCH ${String(count)} FROM staged_batch`);
      const stored = await tx.query<Row>(`FETCH ${String(count)} FROM stored_batch`);
      if (staged.length !== stored.length || staged.some(({ head }, index) => head !== stored[index]?.head))
        return false;
      const opened = await this.encryption.openRows(projectId, staged);
      const others = await this.encryption.openRows(projectId, stored);
      if (opened.some(({ data }, index) => data !== others[index]?.data)) return false;
      if (staged.length < count) return true;
    }
  }
}

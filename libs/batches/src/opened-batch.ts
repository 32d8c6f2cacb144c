import type { Queryable } from '#database';
import { EncryptedKeys } from '#encryption';
import { Injectable } from '@nestjs/common';
import { STAGED_OBJECTS, STORED_OBJECTS, type BatchTarget } from './batch-write.store.js';

/** The text that one fetch reads of each of the two, or one larger object. */
const FETCHED_BYTES = 1024 ** 2;
const FETCHED_MAX = 500;

const LARGEST = `
  SELECT greatest((SELECT max(bytes) FROM staged),
    (SELECT max(bytes) FROM objects WHERE project_id = $1 AND batch_id = $2), 1) AS bytes`;

const openSql = (cursor: string, objects: string): string => `
  DECLARE ${cursor} NO SCROLL CURSOR FOR
  SELECT object_id, jsonb_build_array(object_id, subject, observed_at)::text AS head, data FROM (${objects}) AS o ORDER BY seq`;
const OPEN_STAGED = openSql('staged_batch', STAGED_OBJECTS);
const OPEN_STORED = openSql('stored_batch', STORED_OBJECTS);
const CLOSE = ['CLOSE staged_batch', 'CLOSE stored_batch'];

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
   * Whether the staged objects are those of a locked batch, although their texts differ. Reads until the first difference, and nothing of a
   * project without encrypted values.
   */
  async isSame(tx: Queryable, target: BatchTarget): Promise<boolean> {
    const [projectId] = target;
    if (this.encryption.unsearchableKeysOf(projectId) === null) return false;
    const [largest] = await tx.query<{ bytes: number }>(LARGEST, target);
    const count = Math.max(1, Math.min(FETCHED_MAX, Math.floor(FETCHED_BYTES / (largest?.bytes ?? FETCHED_BYTES))));
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

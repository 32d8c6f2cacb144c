import { IDS_MAX } from '#audit';
import { filterSql, type Filter } from '#filter';
import { deletedObjectsSql, indexQuery } from '#inverted-index';
import { Config } from '#platform';
import { type Count, countRows, errorCode, LIMIT_STATEMENTS, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { invalidateRollupsSql, OBJECT_FILTER_COLUMNS, recordDeletedSql, ROLLUP_COLUMNS } from '#store';
import { keepDeletedSql, keepObjectsSql } from '#undelete';
import { subtractUsageSql } from '#usage';
import { ObjectIndexStore } from './object-index.store.js';
import { BY_SEQ, objectListSql } from './object-list-sql.js';

/** In the order of their ids, so that two transactions that lock the same batches never deadlock. */
const LOCK_BATCHES_OF = {
  name: 'object.lock-batches',
  text: `
    SELECT b.batch_id FROM batches AS b
    WHERE b.project_id = $1 AND b.batch_id IN (
      SELECT o.batch_id FROM objects AS o WHERE o.project_id = $1 AND o.seq = ANY ($2::bigint[]))
    ORDER BY b.batch_id FOR UPDATE`,
};

/** Parameters: $1 the project, $2 the sequence numbers of the objects, $3 the new revision of their batches, $4 the deletion. */
const deleteSql = (matches: string): string => `
  WITH ${keepObjectsSql(`o.seq IN (SELECT o.seq FROM ${BY_SEQ} WHERE ${matches})`, '$4')},
  deleted AS (
    DELETE FROM objects WHERE project_id = $1 AND seq IN (SELECT o.seq FROM ${BY_SEQ} WHERE ${matches})
    RETURNING ${ROLLUP_COLUMNS}, bytes, seq, object_id, batch_id
  ),
  changed_batches AS (
    UPDATE batches AS b SET object_count = b.object_count - d.objects, revision = $3::bigint, digest = NULL
    FROM (SELECT batch_id, count(*) AS objects FROM deleted GROUP BY batch_id) AS d
    WHERE b.project_id = $1 AND b.batch_id = d.batch_id
  ),
  ${keepDeletedSql('deleted', { id: '$4' })},
  ${deletedObjectsSql('deleted')},
  recorded AS (${recordDeletedSql('deleted')}),
  invalidated AS (${invalidateRollupsSql('deleted')}),
  usage AS (${subtractUsageSql('deleted', '$4')})
  SELECT count(*) AS count, array(SELECT object_id FROM deleted ORDER BY seq LIMIT ${String(IDS_MAX)}) AS ids FROM deleted`;

/** What a statement has deleted. */
export interface DeletedObjects {
  count: number;
  /** The ids of the first ones, for the audit log. */
  ids: string[];
}

/** The statements that delete the objects that a filter matches, in one transaction. */
@Injectable()
export class ObjectDeletionStore {
  constructor(
    private readonly index: ObjectIndexStore,
    private readonly config: Config,
  ) {}

  /** Limits each statement of the transaction to the time of a read, because it keeps batches locked. */
  async limitStatements(tx: Queryable): Promise<void> {
    await tx.query(LIMIT_STATEMENTS, [String(this.config.database.queryTimeoutMs)]);
  }

  /** The sequence numbers of at most `limit` objects that match. */
  async find(tx: Queryable, projectId: number, filter: Filter, limit: number): Promise<string[]> {
    const indexed = await this.index.findSome(projectId, filter, limit, tx);
    if (indexed !== null) return indexed;
    const { from, where, values } = objectListSql(projectId, filter);
    const text = `SELECT o.seq FROM ${from} WHERE ${where} LIMIT ${String(limit)}`;
    return (await tx.query<{ seq: string }>(text, values)).map(({ seq }) => seq);
  }

  /** Counts the objects that match. @param minimum the result where counting takes too long; the transaction has then failed */
  async count(tx: Queryable, projectId: number, filter: Filter, minimum: number): Promise<Count> {
    try {
      const query = indexQuery(filter, OBJECT_FILTER_COLUMNS);
      const indexed = query === null ? null : await this.index.count(projectId, filter, query, 'exact', tx);
      return indexed ?? (await countRows(tx, objectListSql(projectId, filter), 'exact', 0));
    } catch (error) {
      if (errorCode(error) !== STATEMENT_TIMEOUT) throw error;
      return { count: minimum, count_is: 'at_least' };
    }
  }

  /** Locks the batches of objects until the transaction ends. */
  async lockBatchesOf(tx: Queryable, projectId: number, seqs: readonly string[]): Promise<void> {
    await tx.query(LOCK_BATCHES_OF, [projectId, seqs]);
  }

  /**
   * Deletes those of the objects that still match; their batches are locked and get this revision.
   * @param deletionId null where they cannot be restored
   */
  async delete(
    tx: Queryable,
    projectId: number,
    filter: Filter,
    { seqs, revision, deletionId }: { seqs: readonly string[]; revision: bigint; deletionId: string | null },
  ): Promise<DeletedObjects> {
    const values: unknown[] = [projectId, seqs, revision.toString(), deletionId];
    const text = deleteSql(filterSql(filter, OBJECT_FILTER_COLUMNS, values));
    const [row] = await tx.query<{ count: string; ids: string[] }>(text, values);
    return { count: Number(row?.count), ids: row?.ids ?? [] };
  }
}

const STATEMENT_TIMEOUT = '57014';

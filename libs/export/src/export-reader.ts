import { filterSql, type Filter } from '#filter';
import { ReadDatabase, type Database } from '#database';
import { EncryptedKeys } from '#encryption';
import { Problem, ValidationErrors } from '#http';
import { ObjectIndexStore, type ObjectSort, type ObjectView, wholeOrderSql } from '#objects';
import { Config, EventLoopYield, ProjectSlots } from '#platform';
import { OBJECT_FILTER_COLUMNS } from '#store';
import { Injectable } from '@nestjs/common';
import { CsvEncoder } from './csv-encoder.js';
import { DataColumns } from './data-columns.js';
import type { ExportFormat, ExportLayout } from './export.dto.js';
import type { ExportEncoder } from './export-encoder.js';
import { parseDataRow } from './export-rows.js';
import { ExportSource } from './export-source.js';
import { LineBuffer } from './line-buffer.js';
import { NdjsonEncoder } from './ndjson-encoder.js';
import { tableOf } from './table.js';
import { TimedCopy } from './timed-copy.js';

/** How long a request waits for a slot. */
const SLOT_WAIT_MS = 10_000;
/** The database may take this many times QUERY_TIMEOUT_MS until the next bytes: a filter may match few of many objects. */
const QUERY_TIMEOUTS = 4;
/**
 * The most matches that the inverted index finds for an export: they are in the text of its statement. PostgreSQL alone scans all objects
 * for conditions that its own indexes do not have. Of 400,000 objects, 5,651 in a range take 75 ms instead of 300.
 */
const INDEX_MATCHES_MAX = 10_000;
/** The most keys of a table: each has a column in memory, and programs that read tables have limits of their own. */
const COLUMNS_MAX = 500;

/** Reads the objects that a filter matches from one snapshot. PostgreSQL sorts them, on its disk where they are many. */
@Injectable()
export class ExportReader {
  /**
   * An export holds a connection for as long as its client reads: a sixth of them is the limit, and one for a project while others
   * use or want some.
   */
  private readonly slots: ProjectSlots;
  private readonly timeoutMs: number;

  constructor(
    private readonly database: ReadDatabase,
    private readonly index: ObjectIndexStore,
    private readonly encryption: EncryptedKeys,
    { database: { sharedMax, queryTimeoutMs } }: Config,
  ) {
    this.timeoutMs = QUERY_TIMEOUTS * queryTimeoutMs;
    const total = Math.max(1, Math.floor(sharedMax / 6));
    this.slots = new ProjectSlots({ total, perProject: 1, alone: Math.max(1, total - 1), waitMs: SLOT_WAIT_MS });
  }

  /**
   * Starts an export, and reads its beginning, so that an error becomes a problem.
   * @param signal ends the work when the client leaves before the response
   * @throws Problem unavailable when all slots are in use, or the database takes too long; invalid-query for a table with too many columns, or none
   */
  async open(projectId: number, filter: Filter, layout: ExportLayout, signal: AbortSignal): Promise<ExportSource> {
    const release = await this.slots.acquire(projectId);
    if (release === null) {
      throw new Problem('unavailable', { detail: 'All slots for exports are in use; retry later.' });
    }
    try {
      signal.throwIfAborted();
      return await this.database.run((server) => this.read(server, projectId, filter, layout, release, signal));
    } catch (error) {
      release();
      throw error;
    }
  }

  private async read(
    server: Database,
    projectId: number,
    filter: Filter,
    layout: ExportLayout,
    release: () => void,
    signal: AbortSignal,
  ): Promise<ExportSource> {
    const snapshot = await server.openSnapshot({ statementTimeoutMs: 0 });
    const close = (): void => void snapshot.close();
    signal.addEventListener('abort', close);
    try {
      signal.throwIfAborted();
      const found = await this.index.findSome(projectId, filter, INDEX_MATCHES_MAX + 1, snapshot);
      const seqs = found !== null && found.length <= INDEX_MATCHES_MAX ? found : null;
      const copyOut = (columns: string, sort: ObjectSort | null): TimedCopy => {
        const { text, values } = exportSql(columns, { projectId, filter, seqs }, sort);
        return new TimedCopy(snapshot, text, values, this.timeoutMs);
      };
      // The columns of a table are those of the order of arrival, which takes no sort.
      const columnsOf = {
        copyOut: (columns: string) => copyOut(columns, null),
        encryption: this.encryption,
        projectId,
      };
      const encoder = await openEncoder(columnsOf, layout);
      const copy = copyOut(exportColumns(layout.view), layout.sort);
      const firstChunk = await copy.next();
      signal.throwIfAborted();
      return new ExportSource(snapshot, copy, firstChunk, encoder, this.encryption, release, projectId);
    } catch (error) {
      await snapshot.close().catch(() => undefined);
      // The cancelled statement has an error of its own.
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', close);
    }
  }
}

/** The columns of an `ExportRow`. Data that is not needed is not read: large data is in rows of its own. */
function exportColumns({ members }: ObjectView): string {
  return `o.object_id, o.batch_id, o.subject, o.observed_at, ${members?.has('data') === false ? "''" : 'o.data'}`;
}

/** The objects of an export. */
interface Matches {
  projectId: number;
  filter: Filter;
  /** All of them; null where PostgreSQL finds them by the filter. */
  seqs: readonly string[] | null;
}

function exportSql(
  columns: string,
  { projectId, filter, seqs }: Matches,
  sort: ObjectSort | null,
): { text: string; values: unknown[] } {
  const values: unknown[] = [projectId];
  const matches =
    seqs === null
      ? filterSql(filter, OBJECT_FILTER_COLUMNS, values)
      : `o.seq = ANY ($${String(values.push(`{${seqs.join()}}`))}::bigint[])`;
  const { join, orderBy } = wholeOrderSql(sort, values);
  const text = `SELECT ${columns} FROM objects AS o ${join} WHERE o.project_id = $1::int AND ${matches} ORDER BY ${orderBy}`;
  return { text, values };
}

/** Where the columns of a table are found. */
interface ReadObjects {
  copyOut: (columns: string) => TimedCopy;
  encryption: EncryptedKeys;
  projectId: number;
}

/**
 * The columns of a table must be known before its first row, so its objects are read twice, in one snapshot. They are read once where
 * the view names all columns and the format has no types, or has no data.
 * @throws Problem invalid-query for a table that its format cannot have
 */
async function openEncoder(objects: ReadObjects, layout: ExportLayout): Promise<ExportEncoder> {
  const { format, isSafe, view } = layout;
  if (format === 'ndjson') return new NdjsonEncoder(view);
  const hasData = view.members?.has('data') !== false;
  const columns = new DataColumns(
    view.fields?.flatMap(({ key }) => key ?? []),
    view.keys === null && hasData,
  );
  const isRead = hasData && (view.keys === null || format === 'parquet');
  if (isRead) await readColumns(objects, columns, format);
  const table = tableOf(columns, view.fields);
  if (format === 'csv') return new CsvEncoder(table, isSafe);
  if (table.columns.length === 0) {
    const detail = 'parquet needs at least one column, and no object has a key; add a member such as object_id';
    throw new ValidationErrors({ parameter: 'fields', detail }).problem('invalid-query');
  }
  // Imported only now: the start of a server does not wait for modules that few exports need.
  const { ParquetEncoder } = await import('./parquet-encoder.js');
  return new ParquetEncoder(table);
}

/** @throws Problem invalid-query */
async function readColumns(
  { copyOut, encryption, projectId }: ReadObjects,
  columns: DataColumns,
  format: ExportFormat,
): Promise<void> {
  const copy = copyOut('o.object_id, o.data');
  const turns = new EventLoopYield(projectId);
  const lines = new LineBuffer();
  for (let chunk = await copy.next(); chunk !== null; chunk = await copy.next()) {
    const rows = lines.take(chunk)?.split('\n').map(parseDataRow) ?? [];
    for (const { data } of await encryption.openRows(projectId, rows)) {
      columns.add(data);
      if (turns.isDue) await turns.yield();
    }
    if (columns.size > COLUMNS_MAX) {
      const detail = `${format} has at most ${String(COLUMNS_MAX)} columns, and the objects have more keys; use fields, a narrower filter or ndjson`;
      throw new ValidationErrors({ parameter: 'format', detail }).problem('invalid-query');
    }
  }
}

import { filterSql, type Filter } from '#filter';
import { Database } from '#database';
import { Problem } from '#http';
import { Config, ProjectSlots } from '#platform';
import { OBJECT_FILTER_COLUMNS } from '#store';
import { Injectable } from '@nestjs/common';
import { ExportSource } from './export-source.js';
import { NdjsonEncoder } from './ndjson-encoder.js';

/** How long a request waits for a slot. */
const SLOT_WAIT_MS = 10_000;

/** Reads the objects that a filter matches, oldest first, from one snapshot. */
@Injectable()
export class ExportReader {
  /**
   * An export holds a connection for as long as its client reads: a sixth of them is the limit, and one for a project while others
   * use or want some.
   */
  private readonly slots: ProjectSlots;

  constructor(
    private readonly database: Database,
    { database: { sharedMax } }: Config,
  ) {
    const total = Math.max(1, Math.floor(sharedMax / 6));
    this.slots = new ProjectSlots({ total, perProject: 1, alone: Math.max(1, total - 1), waitMs: SLOT_WAIT_MS });
  }

  /**
   * Starts an export, and reads its beginning, so that an error becomes a problem.
   * @param signal ends the work when the client leaves before the response
   * @throws Problem unavailable when all slots are in use
   */
  async open(projectId: number, filter: Filter, signal: AbortSignal): Promise<ExportSource> {
    const release = await this.slots.acquire(projectId);
    if (release === null) {
      throw new Problem('unavailable', { detail: 'All slots for exports are in use; retry later.' });
    }
    try {
      signal.throwIfAborted();
      return await this.read(projectId, filter, release, signal);
    } catch (error) {
      release();
      throw error;
    }
  }

  private async read(
    projectId: number,
    filter: Filter,
    release: () => void,
    signal: AbortSignal,
  ): Promise<ExportSource> {
    const snapshot = await this.database.openSnapshot({ statementTimeoutMs: 0 });
    const close = (): void => void snapshot.close();
    signal.addEventListener('abort', close);
    try {
      const { select, values } = exportSql(projectId, filter);
      const copy = snapshot.copyOut(select, values);
      const firstChunk = await copy.next();
      signal.throwIfAborted();
      return new ExportSource(snapshot, copy, firstChunk, new NdjsonEncoder(), release);
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

/** The columns of an `ExportRow`, in the order of arrival: an export that is loaded again gives the same order. */
function exportSql(projectId: number, filter: Filter): { select: string; values: unknown[] } {
  const values: unknown[] = [projectId];
  const matches = filterSql(filter, OBJECT_FILTER_COLUMNS, values);
  const select = `
    SELECT o.object_id, o.batch_id, o.subject, o.observed_at, o.data FROM objects AS o
    WHERE o.project_id = $1::int AND ${matches} ORDER BY o.seq`;
  return { select, values };
}

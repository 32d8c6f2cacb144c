import { Readable } from 'node:stream';
import { Database, type Queryable } from '#database';
import { EncryptedKeys } from '#encryption';
import { encodeCursor, Problem, StreamedBody } from '#http';
import {
  filterOf,
  NESTED_MEMBERS,
  objectsFingerprint,
  viewedTexts,
  viewOf,
  WHOLE_VIEW,
  type ObjectView,
  type ObjectViewQuery,
} from '#objects';
import { Config, ProjectSlots } from '#platform';
import type { BatchRow } from '#store';
import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { BatchReadStore, type NestedRow } from './batch-read.store.js';
import { LargeBatchSource } from './large-batch-source.js';
import { batchDto, JSON_BATCH, nestedObjectText, type BatchFormat } from './batch-wire.js';

/** The most objects of a batch that one statement reads for a response, and that a list nests in one batch. */
const OBJECTS_MAX = 1_000;
/** How long a request waits for a slot to read a large batch. */
const SLOT_WAIT_MS = 10_000;

interface ReadOptions {
  view?: ObjectView;
  format?: BatchFormat;
  on?: Queryable;
  request?: Pick<FastifyRequest, 'releaseSlot'>;
}

/** Reads whole batches as text, each from one snapshot. */
@Injectable()
export class BatchReader {
  /**
   * Reading a large batch holds a connection for as long as its client reads. A quarter of the connections is the limit, which
   * leaves most of it to short requests, and half of that for one project.
   */
  private readonly slots: ProjectSlots;
  /** The statements of pages with nested objects run after the response has begun, when its request has no slot any more. */
  private readonly nestedReads: ProjectSlots;

  constructor(
    private readonly store: BatchReadStore,
    private readonly encryption: EncryptedKeys,
    private readonly database: Database,
    { database: { sharedMax } }: Config,
  ) {
    const shares = {
      total: Math.max(1, Math.floor(sharedMax / 4)),
      perProject: Math.max(1, Math.floor(sharedMax / 8)),
    };
    this.slots = new ProjectSlots({ ...shares, waitMs: SLOT_WAIT_MS });
    this.nestedReads = new ProjectSlots(shares);
  }

  /**
   * The batch as it was sent, with its row of the same snapshot. A batch of up to `OBJECTS_MAX` objects is read by one statement.
   * A larger one is streamed from a snapshot, so that concurrent writes do not change it.
   * @param options.request gives its slot back before it waits for a slot to read a large batch
   * @throws Problem not-found; unavailable when all slots for large batches are in use
   */
  async read(
    projectId: number,
    batchId: string,
    { view = WHOLE_VIEW, format = JSON_BATCH, on, request }: ReadOptions = {},
  ): Promise<{ batch: BatchRow; body: string | Readable }> {
    const found = await this.store.findWithObjects(projectId, batchId, { limit: OBJECTS_MAX, onlyIfWhole: true }, on);
    if (found === null) throw batchNotFound();
    if (found.hasMore) {
      request?.releaseSlot();
      return this.stream(projectId, batchId, view, format);
    }
    const objects = await this.textsOf(projectId, found.objects, view);
    return { batch: found.batch, body: format.head(batchId) + format.join(objects) + format.end };
  }

  private async stream(
    projectId: number,
    batchId: string,
    view: ObjectView,
    format: BatchFormat,
  ): Promise<{ batch: BatchRow; body: Readable }> {
    const releaseSlot = await this.slots.acquire(projectId);
    if (releaseSlot === null) {
      throw new Problem('unavailable', { detail: 'All slots for reading large batches are in use; retry later.' });
    }
    const source = new LargeBatchSource(this.store, this.encryption, projectId, batchId, view, format, releaseSlot);
    try {
      // Before the response begins, an error becomes a problem; later it would break the response off.
      const batch = await source.open(this.database);
      if (batch === null) throw batchNotFound();
      return { batch, body: new StreamedBody(source) };
    } catch (error) {
      // The client gets the first error, not one of closing.
      await source.close().catch(() => undefined);
      throw error;
    }
  }

  /**
   * A page of batches as JSON text, each with its first objects, from one snapshot of that batch. A batch that is deleted
   * meanwhile is omitted. `head` is the page without its results.
   */
  streamPage(
    projectId: number,
    base: string,
    head: string,
    rows: readonly BatchRow[],
    query: ObjectViewQuery,
  ): Readable {
    const view = viewOf(query, NESTED_MEMBERS);
    return Readable.from(this.pageChunks(projectId, base, head, rows, query, view), { objectMode: false });
  }

  private async *pageChunks(
    projectId: number,
    base: string,
    head: string,
    rows: readonly BatchRow[],
    query: ObjectViewQuery,
    view: ObjectView,
  ): AsyncGenerator<string> {
    yield head;
    let separator = '';
    for (const { batch_id: batchId } of rows) {
      const found = await this.nestedReads.run(projectId, () =>
        this.store.findWithObjects(projectId, batchId, { limit: OBJECTS_MAX }),
      );
      if (found === null) continue;
      const dto = batchDto(base, found.batch);
      const last = found.objects.at(-1);
      const next = found.hasMore && last ? urlOfRest(dto.objects_url, projectId, batchId, last.seq, query) : null;
      const members = JSON.stringify({ ...dto, objects_next: next }).slice(0, -1);
      const objects = await this.textsOf(projectId, found.objects, view);
      yield `${separator}${members},"objects":[${objects.join()}]}`;
      separator = ',';
    }
    yield ']}';
  }

  private async textsOf(projectId: number, rows: readonly NestedRow[], view: ObjectView): Promise<string[]> {
    return viewedTexts(await this.encryption.openRows(projectId, rows), nestedObjectText, view, projectId);
  }
}

export function batchNotFound(): Problem {
  return new Problem('not-found', { detail: 'Batch not found.' });
}

/** The URL of the objects of a batch after `seq`, in the order sent. */
function urlOfRest(
  objectsUrl: string,
  projectId: number,
  batchId: string,
  seq: string,
  { fields, data_as: dataAs }: ObjectViewQuery,
): string {
  const view =
    (fields === undefined ? '' : `&fields=${encodeURIComponent(fields)}`) +
    (dataAs === undefined ? '' : `&data_as=${dataAs}`);
  const fingerprint = objectsFingerprint(projectId, filterOf({ batch_id: batchId }, null));
  return `${objectsUrl}${view}&cursor=${encodeCursor({ kind: 'after', seq, oldestFirst: true }, fingerprint)}`;
}

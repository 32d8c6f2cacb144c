import { Readable } from 'node:stream';
import { encodeCursor, Problem } from '#http';
import { Injectable } from '@nestjs/common';
import { BatchStore, type OpenBatch } from './batch.store.js';
import type { BatchRow } from '#store';
import { filterOf, objectsFingerprint } from '#objects';
import { ObjectStore, type NestedRow } from '#objects';
import { batchDto } from './batch-wire.js';
import { nestedObjectText } from '#objects';

/** Objects read at a time while a batch is streamed: enough that the round trip does not count, few enough to hold. */
const CHUNK_OBJECTS = 1_000;
/** The most objects that a list nests in one batch. */
const NESTED_OBJECTS_MAX = 1_000;
/** How often a read is begun anew that met a change. */
const CHANGE_RETRIES = 3;

/** A piece of a batch. */
interface Chunk {
  rows: NestedRow[];
  hasMore: boolean;
}

@Injectable()
export class BatchService {
  constructor(
    private readonly batches: BatchStore,
    private readonly objects: ObjectStore,
  ) {}

  /** @throws Problem not-found */
  async get(projectId: number, batchId: string): Promise<BatchRow> {
    const row = await this.batches.find(projectId, batchId);
    if (row === null) throw noSuchBatch();
    return row;
  }

  /** @throws Problem not-found; batch-not-empty unless cascade */
  async delete(projectId: number, batchId: string, cascade: boolean): Promise<void> {
    if ((await this.batches.delete(projectId, batchId, cascade)) !== null) return;
    // There was none; one that has come meanwhile is another.
    if (cascade) throw noSuchBatch();
    const { object_count } = await this.get(projectId, batchId);
    throw new Problem('batch-not-empty', {
      detail: `The batch still has objects (${object_count}); ?cascade=true deletes them with it.`,
      extra: { object_count: Number(object_count) },
    });
  }

  /**
   * The whole batch as it was sent, as JSON text in pieces, in memory for one piece.
   * @throws Problem not-found
   */
  async open(projectId: number, batchId: string): Promise<{ batch: BatchRow; stream: Readable }> {
    for (let attempt = 1; ; attempt++) {
      const batch = await this.batches.findOpen(projectId, batchId);
      if (batch === null) throw noSuchBatch();
      // The first piece now, so that a database that is away becomes a problem and not a broken answer.
      const first = await this.chunk(projectId, batch);
      const count = first.hasMore ? Number(batch.object_count) : first.rows.length;
      // Else one state's ETag could stand before another's objects. A batch that never rests is read all the same.
      if (attempt < CHANGE_RETRIES && !(await this.isStill(projectId, batch, count))) continue;
      return { batch, stream: Readable.from(this.pieces(projectId, batch, first), { objectMode: false }) };
    }
  }

  /** A page of batches, each with its first objects, as JSON text in pieces; `head` is the page without its results. */
  streamNested(projectId: number, base: string, head: string, rows: readonly BatchRow[]): Readable {
    return Readable.from(this.nestedPieces(projectId, base, head, rows), { objectMode: false });
  }

  /** Breaks off when the batch was rewritten in between: half of one state and half of another is no batch. It may grow. */
  private async *pieces(projectId: number, batch: OpenBatch, first: Chunk): AsyncGenerator<string> {
    yield `{"batch_id":${JSON.stringify(batch.batch_id)},"objects":[`;
    let chunk = first;
    let count = 0;
    for (;;) {
      if (chunk.rows.length > 0) yield (count > 0 ? ',' : '') + chunk.rows.map(nestedObjectText).join();
      count += chunk.rows.length;
      const last = chunk.rows.at(-1);
      if (last === undefined || !chunk.hasMore) break;
      chunk = await this.chunk(projectId, batch, last.seq);
    }
    if (chunk !== first && !(await this.isStill(projectId, batch, count)))
      throw new Error('the batch was changed while it was being read');
    yield ']}';
  }

  private chunk(projectId: number, { batch_id, last }: OpenBatch, seq = '0'): Promise<Chunk> {
    return this.objects.ofBatch(projectId, batch_id, { seq, last, limit: CHUNK_OBJECTS });
  }

  /**
   * Whether so many objects are what the batch had when it was opened: none of them was changed or taken away, and none came
   * among them: from a process whose clock is behind, or that had its number before it had its turn.
   */
  private async isStill(projectId: number, batch: OpenBatch, count: number): Promise<boolean> {
    const now = await this.batches.findOpen(projectId, batch.batch_id);
    return now?.seq === batch.seq && now.rewritten === batch.rewritten && count === Number(batch.object_count);
  }

  private async *nestedPieces(
    projectId: number,
    base: string,
    head: string,
    rows: readonly BatchRow[],
  ): AsyncGenerator<string> {
    yield head;
    for (const [index, row] of rows.entries()) {
      const { rows: nested, hasMore } = await this.objects.ofBatch(projectId, row.batch_id, {
        limit: NESTED_OBJECTS_MAX,
      });
      const dto = batchDto(base, row);
      const last = nested.at(-1);
      const next = hasMore && last !== undefined ? restOf(dto.objects_url, projectId, row.batch_id, last.seq) : null;
      const members = JSON.stringify({ ...dto, objects_next: next }).slice(0, -1);
      yield `${index === 0 ? '' : ','}${members},"objects":[${nested.map(nestedObjectText).join()}]}`;
    }
    yield ']}';
  }
}

function noSuchBatch(): Problem {
  return new Problem('not-found', { detail: 'There is no such batch.' });
}

/** Where the objects of a batch after `seq` are, in the order sent. */
function restOf(objectsUrl: string, projectId: number, batchId: string, seq: string): string {
  const fingerprint = objectsFingerprint(projectId, filterOf({ batch_id: batchId }));
  return `${objectsUrl}&cursor=${encodeCursor({ kind: 'after', seq, oldestFirst: true }, fingerprint)}`;
}

import { Database, type Queryable, type Transaction } from '#database';
import { Injectable } from '@nestjs/common';
import type { Block } from './block.js';
import { SegmentBuilder, SEGMENT_OBJECTS_MAX } from './segment-builder.js';
import type { SeqRuns } from './seq-runs.js';
import { TermKind } from './term-kind.js';

const INSERT_SEGMENT = {
  name: 'index.insert-segment',
  text: `
    INSERT INTO index_segments (project_id, number, first_seq, last_seq, objects, postings, keys, seqs)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
};

const NEXT_NUMBER = { name: 'index.next-number', text: `SELECT nextval('index_segment_numbers') AS number` };

const COPY_BLOCKS = `
  COPY index_blocks (project_id, segment, path, kind, last_number, last_text, value_count, posting_count, body)
  FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')`;
/** Characters of one write to COPY. */
const COPY_LENGTH = 64 * 1024;

const INSERT_WIDE = `
  INSERT INTO index_pending (project_id, seq, is_wide) SELECT $1, seq, true FROM unnest($2::bigint[]) AS seq
  ON CONFLICT (project_id, seq) DO UPDATE SET is_wide = true`;

/** Locked, so that a writer who changes one of them waits, and then marks what was written here as outdated. */
const LOCK_PENDING = {
  name: 'index.lock-pending',
  text: `
    SELECT p.seq, coalesce(o.bytes, 0) AS bytes
    FROM index_pending AS p LEFT JOIN objects AS o ON o.project_id = $1 AND o.seq = p.seq
    WHERE p.project_id = $1 AND NOT p.is_wide AND p.seq > $2 ORDER BY p.seq LIMIT $3 FOR UPDATE OF p SKIP LOCKED`,
};

const DATA_OF = {
  name: 'index.data-of',
  text: `SELECT seq, data FROM objects WHERE project_id = $1 AND seq = ANY ($2::bigint[]) ORDER BY seq`,
};

const SIZES_OF = {
  name: 'index.sizes-of',
  text: `SELECT seq, bytes FROM objects WHERE project_id = $1 AND seq = ANY ($2::bigint[]) ORDER BY seq`,
};

const DELETE_PENDING = {
  name: 'index.delete-pending',
  text: `DELETE FROM index_pending WHERE project_id = $1 AND seq = ANY ($2::bigint[]) AND NOT is_wide`,
};

const LIMIT_OUTDATED = {
  name: 'index.limit-outdated',
  text: `UPDATE index_outdated SET before_segment = $3 WHERE project_id = $1 AND seq = ANY ($2::bigint[])`,
};

/** Objects that are read and added at once. */
const READ_OBJECTS = 500;
const READ_BYTES = 1024 ** 2;

/** An object to be indexed, before its data is read. */
export interface ObjectSize {
  seq: string;
  bytes: number;
}

/** Writes segments of the inverted index. */
@Injectable()
export class SegmentStore {
  constructor(private readonly database: Database) {}

  /** Stores a segment of objects that the same transaction has added. */
  async insertNew(tx: Transaction, projectId: number, builder: SegmentBuilder): Promise<void> {
    await this.insert(tx, projectId, builder, await this.nextNumber(tx));
  }

  /** @returns whether the segment has objects */
  private async insert(tx: Transaction, projectId: number, builder: SegmentBuilder, number: string): Promise<boolean> {
    const { seqs, wide } = builder;
    if (wide.length > 0) await tx.query(INSERT_WIDE, [projectId, wide.map(String)]);
    if (seqs.length === 0) return false;
    const [first, last] = [seqs.at(0), seqs.at(seqs.length - 1)].map(String);
    const values = [projectId, number, first, last, seqs.length, builder.postings, builder.keys, seqs.toBuffer()];
    await tx.query(INSERT_SEGMENT, values);
    const copy = tx.copyIn(COPY_BLOCKS);
    const prefix = `${String(projectId)}\x01${number}\x01`;
    let rows = '';
    for (const block of builder.blocks()) {
      rows += prefix + blockRow(block);
      if (rows.length < COPY_LENGTH) continue;
      await copy.write(rows);
      rows = '';
    }
    if (rows !== '') await copy.write(rows);
    await copy.end();
    return true;
  }

  /**
   * Adds pending objects of a project to a new segment.
   * @param limit the most objects; at most `SEGMENT_OBJECTS_MAX`
   * @param afterSeq only objects after this sequence number
   * @returns how many objects are not pending any more
   */
  indexPending(projectId: number, limit: number = SEGMENT_OBJECTS_MAX, afterSeq = '0'): Promise<number> {
    return this.database.transaction((tx) => this.indexPendingIn(tx, projectId, limit, afterSeq));
  }

  /** The same in a transaction that has added the objects. */
  async indexPendingIn(tx: Transaction, projectId: number, limit: number, afterSeq: string): Promise<number> {
    const locked = await tx.query<ObjectSize>(LOCK_PENDING, [projectId, afterSeq, limit]);
    if (locked.length === 0) return 0;
    const segments = await this.insertObjects(tx, projectId, locked);
    await tx.query(DELETE_PENDING, [projectId, locked.map(({ seq }) => seq)]);
    for (const { number, seqs } of segments) {
      await tx.query(LIMIT_OUTDATED, [projectId, [...seqs].map(String), number]);
    }
    return locked.length;
  }

  /** Adds all pending objects after a sequence number to segments. */
  async indexAllPendingIn(tx: Transaction, projectId: number, afterSeq: string): Promise<void> {
    while ((await this.indexPendingIn(tx, projectId, SEGMENT_OBJECTS_MAX, afterSeq)) > 0);
  }

  /** The sizes of those of the objects that exist, in ascending order. */
  sizesOf(on: Queryable, projectId: number, seqs: readonly string[]): Promise<ObjectSize[]> {
    return on.query<ObjectSize>(SIZES_OF, [projectId, seqs]);
  }

  /**
   * Stores segments of objects that exist, which are read in steps of bounded size. A segment gets its number before its objects are
   * read: where one of them is changed meanwhile, the segment that has the new content has a greater number.
   * @param objects in ascending order
   */
  async insertObjects(
    tx: Transaction,
    projectId: number,
    objects: readonly ObjectSize[],
  ): Promise<{ number: string; seqs: SeqRuns }[]> {
    const segments: { number: string; seqs: SeqRuns }[] = [];
    let builder = new SegmentBuilder();
    let number = await this.nextNumber(tx);
    for (let start = 0; start < objects.length;) {
      const seqs = nextStep(objects, start);
      start += seqs.length;
      const rows = await tx.query<{ seq: string; data: string }>(DATA_OF, [projectId, seqs]);
      builder.add(
        rows.map(({ seq }) => BigInt(seq)),
        rows.map(({ data }) => data),
      );
      if (start < objects.length && !builder.isFull) continue;
      if (await this.insert(tx, projectId, builder, number)) segments.push({ number, seqs: builder.seqs });
      if (start === objects.length) break;
      builder = new SegmentBuilder();
      number = await this.nextNumber(tx);
    }
    return segments;
  }

  private async nextNumber(on: Queryable): Promise<string> {
    const [row] = await on.query<{ number: string }>(NEXT_NUMBER);
    if (row === undefined) throw new Error('a sequence gave no number');
    return row.number;
  }
}

/** The objects from an index on that are read at once: at least one. */
function nextStep(objects: readonly ObjectSize[], start: number): string[] {
  let bytes = 0;
  let end = start;
  while (end < objects.length && end - start < READ_OBJECTS && (end === start || bytes < READ_BYTES)) {
    bytes += objects[end]?.bytes ?? 0;
    end++;
  }
  return objects.slice(start, end).map(({ seq }) => seq);
}

/** The columns of a row after the number of the segment. */
function blockRow({ path, kind, last, values, postings, body }: Block): string {
  const number = kind === TermKind.number ? last : '';
  const text = kind === TermKind.text ? quoted(last) : '';
  return (
    `${quoted(path)}\x01${String(kind)}\x01${number}\x01${text}\x01${String(values)}\x01${String(postings)}\x01` +
    `\\x${body.toString('hex')}\n`
  );
}

function quoted(text: string): string {
  return `\x02${text.includes('\x02') ? text.replaceAll('\x02', '\x02\x02') : text}\x02`;
}

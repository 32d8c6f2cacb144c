import { Database, type Queryable, type Transaction } from '#database';
import { EventLoopYield } from '#platform';
import { Injectable } from '@nestjs/common';
import type { Block } from './block.js';
import { SHARE_INDEX } from './index-lock.js';
import { SegmentBuilder, SEGMENT_OBJECTS_MAX } from './segment-builder.js';
import type { SeqRuns } from './seq-runs.js';
import { TermKind } from './term-kind.js';

const INSERT_SEGMENT = {
  name: 'index.insert-segment',
  text: `
    INSERT INTO index_segments (project_id, number, first_seq, last_seq, objects, weight, keys, seqs)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
};

const NEXT_NUMBERS = {
  name: 'index.next-numbers',
  text: `SELECT nextval('index_segment_numbers') AS number FROM generate_series(1, $1::int)`,
};

const COPY_BLOCKS = `
  COPY index_blocks (project_id, segment, path, kind, last_number, last_text, value_count, posting_count, body)
  FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')`;
/** Characters of one COPY. */
const COPY_LENGTH = 256 * 1024;

/** Of objects that are pending and locked. */
const MARK_WIDE = `UPDATE index_pending SET is_wide = true WHERE project_id = $1 AND seq = ANY ($2::bigint[])`;

/** Locked, so that one that is deleted at the same time leaves no row. A row that exists is that of a later change. */
const INSERT_WIDE = `
  INSERT INTO index_pending (project_id, seq, is_wide)
  SELECT project_id, seq, true FROM objects WHERE project_id = $1 AND seq = ANY ($2::bigint[]) FOR KEY SHARE
  ON CONFLICT (project_id, seq) DO NOTHING`;

/**
 * Locked, so that a writer who changes one of them waits, and then marks what was written here as outdated. OFFSET 0 keeps the planner
 * from reading the whole batch for each pending object, which it does where it expects one.
 */
const LOCK_PENDING = {
  name: 'index.lock-pending',
  text: `
    SELECT p.seq, coalesce(o.bytes, 0) AS bytes
    FROM index_pending AS p LEFT JOIN LATERAL (
      SELECT bytes, batch_id FROM objects WHERE project_id = $1 AND seq = p.seq OFFSET 0
    ) AS o ON true
    WHERE p.project_id = $1 AND NOT p.is_wide AND ($2::text[] IS NULL OR o.batch_id = ANY ($2))
    ORDER BY p.seq LIMIT $3 FOR UPDATE OF p SKIP LOCKED`,
};

const DATA_OF = {
  name: 'index.data-of',
  text: `SELECT seq, data FROM objects WHERE project_id = $1 AND seq = ANY ($2::bigint[]) ORDER BY seq`,
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
/** The data of the objects of one step, and the most segments of them: a segment has 32 MiB of terms. */
const STEP_BYTES = 16 * 1024 ** 2;
export const SEGMENTS_OF_STEP = 256;

/** A segment to be stored. */
export type NewSegment = Pick<SegmentBuilder, 'seqs' | 'weight' | 'keys' | 'blocks'>;

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
    if (builder.wide.length > 0) await tx.query(INSERT_WIDE, [projectId, builder.wide.map(String)]);
    await this.insert(tx, projectId, builder, (await this.nextNumbers(tx, 1))[0]);
  }

  /**
   * Stores a segment, unless it has no objects.
   * @param number drawn before it was read which entries are outdated
   * @returns whether it has objects
   */
  async insert(tx: Transaction, projectId: number, segment: NewSegment, number?: string): Promise<boolean> {
    const { seqs } = segment;
    if (seqs.length === 0) return false;
    if (number === undefined) throw new Error('a segment has no number');
    const prefix = `${String(projectId)}\x01${number}\x01`;
    let rows = '';
    for await (const block of segment.blocks(new EventLoopYield(projectId))) {
      rows += prefix + blockRow(block);
      if (rows.length < COPY_LENGTH) continue;
      await copyRows(tx, rows);
      rows = '';
    }
    if (rows !== '') await copyRows(tx, rows);
    // The weight and the keys of a merged segment are known when its blocks have been read.
    const { weight, keys } = segment;
    const [first, last] = [seqs.at(0), seqs.at(seqs.length - 1)].map(String);
    await tx.query(INSERT_SEGMENT, [projectId, number, first, last, seqs.length, weight, keys, seqs.toBuffer()]);
    return true;
  }

  /**
   * Adds the oldest pending objects of a project to segments.
   * @param limit the most objects; fewer where these are large
   * @returns how many objects are not pending any more
   */
  indexPending(projectId: number, limit: number): Promise<number> {
    return this.database.transaction((tx) => this.indexPendingIn(tx, projectId, null, limit));
  }

  /** Adds all pending objects of batches to segments, in the transaction that has added them. */
  async indexBatchesIn(tx: Transaction, projectId: number, batchIds: readonly string[]): Promise<void> {
    while ((await this.indexPendingIn(tx, projectId, batchIds, SEGMENT_OBJECTS_MAX)) > 0);
  }

  private async indexPendingIn(
    tx: Transaction,
    projectId: number,
    batchIds: readonly string[] | null,
    limit: number,
  ): Promise<number> {
    await tx.query(SHARE_INDEX, [projectId]);
    const locked = withinBytes(await tx.query<ObjectSize>(LOCK_PENDING, [projectId, batchIds, limit]));
    if (locked.length === 0) return 0;
    // Nobody changes the objects while their rows are locked.
    const numbers = await this.nextNumbers(tx, SEGMENTS_OF_STEP);
    const { segments, wide } = await this.insertObjects(tx, projectId, locked, numbers);
    if (wide.length > 0) await tx.query(MARK_WIDE, [projectId, wide]);
    await tx.query(DELETE_PENDING, [projectId, locked.map(({ seq }) => seq)]);
    for (const { number, seqs } of segments) {
      await tx.query(LIMIT_OUTDATED, [projectId, [...seqs].map(String), number]);
    }
    return locked.length;
  }

  /**
   * Stores segments of objects that others may change meanwhile; those with too many terms become pending.
   * @param numbers of segments, drawn before it was read which entries are outdated and which objects are pending: where an object is
   *   changed after that, the segment that has its new content has a greater number
   */
  async insertUnlocked(
    tx: Transaction,
    projectId: number,
    objects: readonly ObjectSize[],
    numbers: readonly string[],
  ): Promise<void> {
    const { wide } = await this.insertObjects(tx, projectId, objects, numbers);
    if (wide.length > 0) await tx.query(INSERT_WIDE, [projectId, wide]);
  }

  /** Draws numbers for segments. A later number is greater. */
  async nextNumbers(on: Queryable, count: number): Promise<string[]> {
    return (await on.query<{ number: string }>(NEXT_NUMBERS, [count])).map(({ number }) => number);
  }

  /** Reads objects in steps of bounded size, and stores them as segments. @param objects in ascending order */
  private async insertObjects(
    tx: Transaction,
    projectId: number,
    objects: readonly ObjectSize[],
    numbers: readonly string[],
  ): Promise<{ segments: { number: string; seqs: SeqRuns }[]; wide: string[] }> {
    const segments: { number: string; seqs: SeqRuns }[] = [];
    const wide: string[] = [];
    let builder = new SegmentBuilder();
    for (let start = 0; start < objects.length;) {
      const seqs = nextStep(objects, start);
      start += seqs.length;
      const rows = await tx.query<{ seq: string; data: string }>(DATA_OF, [projectId, seqs]);
      builder.add(
        rows.map(({ seq }) => BigInt(seq)),
        rows.map(({ data }) => data),
      );
      if (start < objects.length && !builder.isFull) continue;
      const number = numbers[segments.length];
      if (await this.insert(tx, projectId, builder, number))
        segments.push({ number: number ?? '', seqs: builder.seqs });
      wide.push(...builder.wide.map(String));
      builder = new SegmentBuilder();
    }
    return { segments, wide };
  }
}

/** The COPY ends before the next block, because a merge reads its blocks on the same connection. */
async function copyRows(tx: Transaction, rows: string): Promise<void> {
  const copy = tx.copyIn(COPY_BLOCKS);
  await copy.write(rows);
  await copy.end();
}

/** The first objects that have at most `STEP_BYTES`; at least one of them. */
function withinBytes(objects: readonly ObjectSize[]): readonly ObjectSize[] {
  let bytes = 0;
  const end = objects.findIndex((object, index) => (bytes += object.bytes) > STEP_BYTES && index > 0);
  return end === -1 ? objects : objects.slice(0, end);
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

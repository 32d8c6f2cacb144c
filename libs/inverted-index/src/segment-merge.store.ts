import { Database, DISABLE_STATEMENT_TIMEOUT, type Transaction } from '#database';
import { Injectable } from '@nestjs/common';
import { EventLoopYield } from '#platform';
import { SHARE_INDEX } from './index-lock.js';
import { MergedSegment, numberObjects, type MergeSource, type SourceBlock } from './merged-segment.js';
import { fullBitmap, removeOrdinal } from './ordinals.js';
import { SEGMENT_OBJECTS_MAX, SEGMENT_WEIGHT } from './segment-builder.js';
import { SegmentStore } from './segment.store.js';
import { SeqRuns } from './seq-runs.js';
import { TermKind } from './term-kind.js';

/**
 * Segments of similar size are merged, so that each object is rewritten only a few times. A tier has the segments that are filled
 * to these parts of the largest one. A query reads every segment, so their number is its cost.
 */
const TIERS = [
  { fillFrom: 0, fillTo: 1 / 16 },
  { fillFrom: 1 / 16, fillTo: 3 / 4 },
] as const;
/** The segments of a tier that are merged. */
const MERGED_MIN = 8;

/** How much of the largest segment a segment has. */
const FILL = `greatest(objects::float8 / ${String(SEGMENT_OBJECTS_MAX)}, weight::float8 / ${String(SEGMENT_WEIGHT)})`;

/**
 * A segment is written again when one object of this many is outdated, or this number of them: every query reads which, at about 10 µs
 * for each (docs/decisions/027).
 */
const OUTDATED_SHARE = 4;
const OUTDATED_MAX = 250;

/** The segments of one size, in the order of their objects. Locked, so that two processes do not merge the same ones. */
const LOCK_SEGMENTS = `
  SELECT number, first_seq, last_seq, seqs, ${FILL} AS fill FROM index_segments AS s
  WHERE project_id = $1 AND ${FILL} >= $2 AND ${FILL} < $3 ORDER BY last_seq LIMIT 256 FOR UPDATE SKIP LOCKED`;

/**
 * A segment with many outdated entries in its range. Some may belong to a segment of an overlapping range, or to none; so not always
 * the same one is taken.
 */
const LOCK_OUTDATED = `
  SELECT s.number, s.first_seq, s.last_seq, s.seqs, ${FILL} AS fill FROM index_segments AS s
  WHERE s.project_id = $1 AND least(s.objects, ${String(OUTDATED_SHARE * OUTDATED_MAX)}) <= ${String(OUTDATED_SHARE)} * (
    SELECT count(*) FROM index_outdated AS o
    WHERE o.project_id = $1 AND o.seq BETWEEN s.first_seq AND s.last_seq AND o.before_segment > s.number)
  ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED`;

/**
 * A segment below the number $2 with entries of values of one of the keys $3, or of members of such values, some of whose objects are
 * outdated. Encrypted values have only entries of the kind `long`.
 */
const ofValues = (path: string): string => `
  EXISTS (
    SELECT FROM unnest($3::text[]) AS k (key), index_blocks AS b
    WHERE b.project_id = $1 AND b.segment = s.number AND ${path}
      AND b.kind NOT IN (${String(TermKind.key)}, ${String(TermKind.long)}))`;
const WITH_VALUES = `
  SELECT s.number, s.first_seq, s.last_seq, s.seqs, ${FILL} AS fill FROM index_segments AS s
  WHERE s.project_id = $1 AND s.number < $2::bigint
    AND (${ofValues('b.path = k.key')} OR ${ofValues(`b.path >= k.key || '.' AND b.path < k.key || '/'`)})
    AND EXISTS (
      SELECT FROM index_outdated AS o
      WHERE o.project_id = $1 AND o.seq BETWEEN s.first_seq AND s.last_seq AND o.before_segment > s.number)
  ORDER BY s.number LIMIT 1`;
const LOCK_WITH_VALUES = `${WITH_VALUES} FOR UPDATE SKIP LOCKED`;

const IS_BUILDING = `SELECT FROM index_builds WHERE project_id = $1`;

const OUTDATED = `
  SELECT seq, before_segment FROM index_outdated WHERE project_id = $1 AND seq BETWEEN $2 AND $3`;

/** Reads the blocks in the order of their paths: the values of a path are merged. */
const OPEN_BLOCKS = `
  DECLARE merged_blocks NO SCROLL CURSOR FOR
  SELECT segment, path, kind, body FROM index_blocks WHERE project_id = $1 AND segment = ANY ($2::bigint[])
  ORDER BY path, kind, segment, last_number, last_text`;
/** With blocks of 128 texts of 1,000 bytes 16 MB, otherwise about 100 KB. */
const NEXT_BLOCKS = { name: 'index.next-blocks', text: `FETCH 128 FROM merged_blocks` };
const CLOSE_BLOCKS = `CLOSE merged_blocks`;

const DELETE_SEGMENTS = `DELETE FROM index_segments WHERE project_id = $1 AND number = ANY ($2::bigint[])`;
const DELETE_BLOCKS = `DELETE FROM index_blocks WHERE project_id = $1 AND segment = ANY ($2::bigint[])`;

/** Rows that a writer is changing are left. */
const LOCK_ROWS = `
  SELECT seq, before_segment FROM index_outdated WHERE project_id = $1 AND seq = ANY ($2::bigint[]) FOR UPDATE SKIP LOCKED`;

const OVERLAPPING = `
  SELECT number, seqs FROM index_segments
  WHERE project_id = $1 AND last_seq >= $2::bigint AND first_seq <= $3::bigint`;

const DELETE_OUTDATED = `DELETE FROM index_outdated WHERE project_id = $1 AND seq = ANY ($2::bigint[])`;

interface SegmentRow {
  number: string;
  first_seq: string;
  last_seq: string;
  seqs: Buffer;
  fill: number;
}

interface OutdatedRow {
  seq: string;
  before_segment: string;
}

/** Merges segments, and drops their outdated entries. */
@Injectable()
export class SegmentMergeStore {
  constructor(
    private readonly database: Database,
    private readonly segments: SegmentStore,
  ) {}

  /** Merges some segments of a project. @returns whether there may be more to merge */
  mergeSome(projectId: number): Promise<boolean> {
    return this.database.transaction(async (tx) => {
      await tx.query(DISABLE_STATEMENT_TIMEOUT);
      await tx.query(SHARE_INDEX, [projectId]);
      // A build that has not committed may hold entries of objects that seem to be in no segment.
      if ((await tx.query(IS_BUILDING, [projectId])).length > 0) return false;
      for (const { fillFrom, fillTo } of TIERS) {
        const rows = await tx.query<SegmentRow>(LOCK_SEGMENTS, [projectId, fillFrom, fillTo]);
        if (rows.length < MERGED_MIN) continue;
        await this.replace(tx, projectId, fittingTogether(rows));
        return true;
      }
      const [segment] = await tx.query<SegmentRow>(LOCK_OUTDATED, [projectId]);
      return segment !== undefined && this.dropOutdated(tx, projectId, segment);
    });
  }

  /**
   * Writes one of the segments again that still have entries of the former values of encrypted keys.
   * @param below only segments with a smaller number: others were written later
   * @returns dropped: there may be more; busy: a build or a merge may have some, so that they are to be looked for again; none
   */
  dropValuesOf(projectId: number, keys: readonly string[], below: bigint): Promise<'dropped' | 'busy' | 'none'> {
    return this.database.transaction(async (tx) => {
      await tx.query(DISABLE_STATEMENT_TIMEOUT);
      await tx.query(SHARE_INDEX, [projectId]);
      if ((await tx.query(IS_BUILDING, [projectId])).length > 0) return 'busy';
      const values = [projectId, below.toString(), keys];
      const [segment] = await tx.query<SegmentRow>(LOCK_WITH_VALUES, values);
      if (segment === undefined) return (await tx.query(WITH_VALUES, values)).length > 0 ? 'busy' : 'none';
      await this.replace(tx, projectId, [segment]);
      return 'dropped';
    });
  }

  /** Writes a segment again without its outdated entries. @returns whether anything was changed */
  private async dropOutdated(tx: Transaction, projectId: number, segment: SegmentRow): Promise<boolean> {
    const { source, dropped, others } = await this.sourceOf(tx, projectId, segment);
    const isLittle = dropped.length * OUTDATED_SHARE < Math.min(source.seqs.length, OUTDATED_SHARE * OUTDATED_MAX);
    if (isLittle) {
      return (await this.deleteUnused(tx, projectId, others)) > 0;
    }
    await this.replace(tx, projectId, [segment]);
    return true;
  }

  /** Stores the valid entries of segments in a new one, or in several where they do not fit into one. */
  private async replace(tx: Transaction, projectId: number, rows: readonly SegmentRow[]): Promise<void> {
    const fill = rows.reduce((sum, row) => sum + row.fill, 0);
    const newNumbers = await this.segments.nextNumbers(tx, Math.ceil(fill) + 1);
    const sources: MergeSource[] = [];
    const dropped: string[] = [];
    for (const row of rows) {
      const one = await this.sourceOf(tx, projectId, row);
      sources.push(one.source);
      dropped.push(...one.dropped);
    }
    const objects = sources.reduce((sum, { seqs }) => sum + seqs.length, 0);
    const objectsMax = Math.min(SEGMENT_OBJECTS_MAX, Math.ceil(objects / Math.max(fill, 1)));
    const numbers = rows.map(({ number }) => number);
    const readBlocks = (): AsyncGenerator<SourceBlock> => this.readBlocks(tx, projectId, numbers);
    const parts = await numberObjects(sources, objectsMax, new EventLoopYield(projectId));
    for (const [index, seqs] of parts.entries()) {
      const segment = new MergedSegment(seqs, index * objectsMax, sources, readBlocks);
      await this.segments.insert(tx, projectId, segment, newNumbers[index]);
    }
    await tx.query(DELETE_BLOCKS, [projectId, numbers]);
    await tx.query(DELETE_SEGMENTS, [projectId, numbers]);
    await this.deleteUnused(tx, projectId, dropped);
  }

  private async *readBlocks(
    tx: Transaction,
    projectId: number,
    numbers: readonly string[],
  ): AsyncGenerator<SourceBlock> {
    await tx.query(OPEN_BLOCKS, [projectId, numbers]);
    for (;;) {
      const rows = await tx.query<SourceBlock>(NEXT_BLOCKS);
      if (rows.length === 0) break;
      yield* rows;
    }
    await tx.query(CLOSE_BLOCKS);
  }

  /** A segment without its outdated objects, these, and other outdated objects in its range. */
  private async sourceOf(
    tx: Transaction,
    projectId: number,
    { number, first_seq, last_seq, seqs: body }: SegmentRow,
  ): Promise<{ source: MergeSource; dropped: string[]; others: string[] }> {
    const outdated = await tx.query<OutdatedRow>(OUTDATED, [projectId, first_seq, last_seq]);
    const seqs = SeqRuns.from(body);
    const valid = fullBitmap(seqs.length);
    const dropped: string[] = [];
    const others: string[] = [];
    for (const { seq, before_segment: before } of outdated) {
      const ordinal = seqs.ordinalOf(BigInt(seq));
      if (ordinal === -1) others.push(seq);
      else if (BigInt(before) > BigInt(number)) {
        removeOrdinal(valid, ordinal);
        dropped.push(seq);
      }
    }
    return { source: { number, seqs, valid, positions: new Int32Array(seqs.length).fill(-1) }, dropped, others };
  }

  /**
   * Deletes the rows of `index_outdated` that no segment needs. A row that is visible was written after the segments with entries of
   * its object, so these are visible too.
   * @returns how many were deleted
   */
  private async deleteUnused(tx: Transaction, projectId: number, seqs: readonly string[]): Promise<number> {
    if (seqs.length === 0) return 0;
    const rows = await tx.query<OutdatedRow>(LOCK_ROWS, [projectId, seqs]);
    const sorted = rows.map(({ seq }) => BigInt(seq)).sort((a, b) => (a < b ? -1 : 1));
    const bounds = [sorted.at(0) ?? 0n, sorted.at(-1) ?? 0n].map(String);
    const segments = (await tx.query<SegmentRow>(OVERLAPPING, [projectId, ...bounds])).map((row) => {
      return { number: BigInt(row.number), seqs: SeqRuns.from(row.seqs) };
    });
    const unused = rows.filter(({ seq, before_segment: before }) => {
      return !segments.some(({ number, seqs: own }) => number < BigInt(before) && own.ordinalOf(BigInt(seq)) !== -1);
    });
    if (unused.length > 0) await tx.query(DELETE_OUTDATED, [projectId, unused.map(({ seq }) => seq)]);
    return unused.length;
  }
}

/** The first segments that fit into one together; at least two, which then become one and the rest. */
function fittingTogether(rows: readonly SegmentRow[]): readonly SegmentRow[] {
  let fill = 0;
  const end = rows.findIndex((row, index) => (fill += row.fill) > 1 && index >= 2);
  return end === -1 ? rows : rows.slice(0, end);
}

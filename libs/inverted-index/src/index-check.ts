import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { bitmapOf, entriesOf } from './block.js';
import { SegmentBuilder } from './segment-builder.js';
import { SeqRuns } from './seq-runs.js';
import { addOrdinal, ascending, emptyBitmap, hasOrdinal } from './ordinals.js';

/** What the index of a project says that is not true of its objects. */
export interface IndexDifference {
  projectId: number;
  /** The object, if the difference is about one. */
  seq: string | null;
  detail: string;
}

/** The result of comparing the index of a project with its objects. */
export interface IndexReport {
  objects: number;
  /** Whether objects from before the index are still being indexed; those are not compared. */
  isBuilding: boolean;
  /** The first differences. */
  differences: IndexDifference[];
  differenceCount: number;
}

const DIFFERENCES_LISTED = 20;
const READ_OBJECTS = 500;

interface SegmentRow {
  number: string;
  objects: number;
  seqs: Buffer;
}

interface BlockRow {
  path: string;
  kind: number;
  value_count: number;
  posting_count: number;
  body: Buffer;
}

/** Recomputes the index from the objects, in one snapshot. */
@Injectable()
export class IndexCheck {
  constructor(private readonly database: Database) {}

  async checkProject(projectId: number): Promise<IndexReport> {
    const snapshot = await this.database.openSnapshot();
    try {
      return await new ProjectCheck(snapshot, projectId).run();
    } finally {
      await snapshot.close();
    }
  }

  /**
   * Discards the index of a project, so that it is built again in the background. Until then queries do not use it.
   * Writes to every project wait while the rows are deleted.
   */
  async rebuildProject(projectId: number): Promise<void> {
    await this.database.transaction(async (tx) => {
      await tx.query(`SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0`);
      await tx.query(
        'LOCK TABLE index_pending, index_outdated, index_segments, index_blocks, index_builds IN EXCLUSIVE MODE',
      );
      for (const table of ['index_pending', 'index_outdated', 'index_segments', 'index_blocks', 'index_builds']) {
        await tx.query(`DELETE FROM ${table} WHERE project_id = $1`, [projectId]);
      }
      await tx.query(
        `INSERT INTO index_builds (project_id, below_seq)
         SELECT $1, seq + 1 FROM objects WHERE project_id = $1 ORDER BY seq DESC LIMIT 1`,
        [projectId],
      );
    });
  }
}

class ProjectCheck {
  private readonly report: IndexReport = { objects: 0, isBuilding: false, differences: [], differenceCount: 0 };
  /** The objects with valid entries in a segment, and those that are pending. */
  private readonly covered: bigint[] = [];

  constructor(
    private readonly on: Queryable,
    private readonly projectId: number,
  ) {}

  async run(): Promise<IndexReport> {
    const { projectId } = this;
    const [build] = await this.on.query<{ below_seq: string }>(
      `SELECT below_seq FROM index_builds WHERE project_id = $1`,
      [projectId],
    );
    this.report.isBuilding = build !== undefined;
    const before = await this.outdated();
    const segments = await this.on.query<SegmentRow>(
      `SELECT number, objects, seqs FROM index_segments WHERE project_id = $1 ORDER BY number`,
      [projectId],
    );
    for (const segment of segments) await this.checkSegment(segment, before);
    const pending = await this.on.query<{ seq: string }>(`SELECT seq FROM index_pending WHERE project_id = $1`, [
      projectId,
    ]);
    for (const { seq } of pending) this.covered.push(BigInt(seq));
    await this.checkCoverage(build === undefined ? null : BigInt(build.below_seq));
    return this.report;
  }

  private async outdated(): Promise<ReadonlyMap<string, bigint>> {
    const rows = await this.on.query<{ seq: string; before_segment: string }>(
      `SELECT seq, before_segment FROM index_outdated WHERE project_id = $1`,
      [this.projectId],
    );
    return new Map(rows.map((row) => [row.seq, BigInt(row.before_segment)]));
  }

  /** Compares the valid entries of a segment with those that its objects have now. */
  private async checkSegment(
    { number, objects, seqs }: SegmentRow,
    before: ReadonlyMap<string, bigint>,
  ): Promise<void> {
    const runs = SeqRuns.from(seqs);
    if (runs.length !== objects)
      this.add(null, `segment ${number} has ${String(runs.length)} objects instead of ${String(objects)}`);
    const valid: bigint[] = [];
    const isValid = emptyBitmap(runs.length);
    for (const [ordinal, seq] of [...runs].entries()) {
      if ((before.get(seq.toString()) ?? 0n) > BigInt(number)) continue;
      valid.push(seq);
      addOrdinal(isValid, ordinal);
    }
    this.covered.push(...valid);
    const expected = termsOf(await this.build(valid));
    const rows = await this.on.query<BlockRow>(
      `SELECT path, kind, value_count, posting_count, body FROM index_blocks WHERE project_id = $1 AND segment = $2`,
      [this.projectId, number],
    );
    for (const { path, kind, value_count, posting_count, body } of rows) {
      const entries = [...entriesOf(body, runs.length)];
      const postings = entries.reduce((sum, { count }) => sum + count, 0);
      if (entries.length !== value_count || postings !== posting_count) {
        this.add(null, `segment ${number} has a block of ${JSON.stringify(path)} with wrong counts`);
      }
      for (const entry of entries) {
        const ordinals = [...ascending(bitmapOf(entry, runs.length))].filter((ordinal) => hasOrdinal(isValid, ordinal));
        const found = ordinals.map((ordinal) => runs.at(ordinal));
        const term = termText(path, kind, entry.value);
        this.compare(number, term, expected.get(term) ?? [], found);
        expected.delete(term);
      }
    }
    for (const [term, missing] of expected) this.compare(number, term, missing, []);
  }

  private compare(number: string, term: string, expected: readonly bigint[], found: readonly bigint[]): void {
    const [should, is] = [new Set(expected), new Set(found)];
    for (const seq of should) if (!is.has(seq)) this.add(seq, `segment ${number} lacks the term ${term}`);
    for (const seq of is)
      if (!should.has(seq)) this.add(seq, `segment ${number} has the term ${term}, which the object does not have`);
  }

  private async build(seqs: readonly bigint[]): Promise<SegmentBuilder> {
    const builder = new SegmentBuilder();
    for (let start = 0; start < seqs.length; start += READ_OBJECTS) {
      const rows = await this.on.query<{ seq: string; data: string }>(
        `SELECT seq, data FROM objects WHERE project_id = $1 AND seq = ANY ($2::bigint[]) ORDER BY seq`,
        [this.projectId, seqs.slice(start, start + READ_OBJECTS).map(String)],
      );
      builder.add(
        rows.map(({ seq }) => BigInt(seq)),
        rows.map(({ data }) => data),
      );
    }
    return builder;
  }

  /** Every object must be pending, or have valid entries in exactly one segment. */
  private async checkCoverage(builtFrom: bigint | null): Promise<void> {
    const covered = BigInt64Array.from(this.covered).sort();
    let at = 0;
    let after = '0';
    for (;;) {
      const rows = await this.on.query<{ seq: string }>(
        `SELECT seq FROM objects WHERE project_id = $1 AND seq > $2 ORDER BY seq LIMIT 10000`,
        [this.projectId, after],
      );
      for (const { seq } of rows) {
        const own = BigInt(seq);
        for (; (covered[at] ?? own) < own; at++) this.add(covered[at] ?? null, 'the object does not exist');
        let times = 0;
        for (; covered[at] === own; at++) times++;
        if (times > 1) this.add(own, `the object is indexed ${String(times)} times`);
        if (times === 0 && (builtFrom === null || own >= builtFrom)) this.add(own, 'the object is not indexed');
      }
      this.report.objects += rows.length;
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.seq;
    }
    for (; at < covered.length; at++) this.add(covered[at] ?? null, 'the object does not exist');
  }

  private add(seq: bigint | null, detail: string): void {
    this.report.differenceCount++;
    if (this.report.differences.length >= DIFFERENCES_LISTED) return;
    this.report.differences.push({ projectId: this.projectId, seq: seq?.toString() ?? null, detail });
  }
}

/** The objects of each term of a segment. */
function termsOf(builder: SegmentBuilder): Map<string, bigint[]> {
  const terms = new Map<string, bigint[]>();
  const objects = builder.seqs.length;
  for (const { path, kind, body } of builder.blocks()) {
    for (const entry of entriesOf(body, objects)) {
      const seqs = Array.from(ascending(bitmapOf(entry, objects)), (ordinal) => builder.seqs.at(ordinal));
      terms.set(termText(path, kind, entry.value), seqs);
    }
  }
  return terms;
}

function termText(path: string, kind: number, value: string): string {
  return JSON.stringify([path, kind, value]);
}

import { Database, DISABLE_STATEMENT_TIMEOUT, type Queryable } from '#database';
import { canonicalNumber } from '#json';
import { EventLoopYield } from '#platform';
import { Injectable } from '@nestjs/common';
import { entriesOf, ordinalsOf } from './block.js';
import { addOrdinal, emptyBitmap, hasOrdinal } from './ordinals.js';
import { LOCK_INDEX } from './index-lock.js';
import { keysOf, SegmentBuilder } from './segment-builder.js';
import { SeqRuns } from './seq-runs.js';
import { TermKind } from './term-kind.js';

/** An entry of the index that its objects do not have, or one that is missing. */
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
  first_seq: string;
  last_seq: string;
  objects: number;
  keys: string[] | null;
  seqs: Buffer;
}

interface BlockRow {
  path: string;
  kind: number;
  last_number: string | null;
  last_text: string | null;
  value_count: number;
  posting_count: number;
  body: Buffer;
}

/**
 * One statement, so that it sees all rows of a transaction or none. Pending objects come first, as in every other transaction. An
 * object whose pending row is discarded is indexed by the build.
 */
const DISCARD = `
  WITH pending AS (DELETE FROM index_pending WHERE project_id = $1 RETURNING 1),
  outdated AS (DELETE FROM index_outdated WHERE project_id = $1 AND (SELECT count(*) FROM pending) >= 0),
  segments AS (DELETE FROM index_segments WHERE project_id = $1)
  DELETE FROM index_blocks WHERE project_id = $1`;

/** After the objects were read whose pending rows were discarded. A build that is running begins again. */
const BEGIN_BUILD = `
  INSERT INTO index_builds (project_id, below_seq)
  SELECT $1, seq + 1 FROM objects WHERE project_id = $1 ORDER BY seq DESC LIMIT 1
  ON CONFLICT (project_id) DO UPDATE SET below_seq = excluded.below_seq`;

/** Recomputes the index from the objects, in one snapshot. */
@Injectable()
export class IndexCheck {
  constructor(private readonly database: Database) {}

  async checkProject(projectId: number): Promise<IndexReport> {
    const snapshot = await this.database.openSnapshot({ statementTimeoutMs: 0 });
    try {
      return await new ProjectCheck(snapshot, projectId).run();
    } finally {
      await snapshot.close();
    }
  }

  /**
   * Discards the index of a project, so that it is built again in the background. Until then queries do not use it. Waits for
   * transactions that write the index of the project; only writes of the same objects wait for it.
   * @throws a lock timeout where one runs for longer than 30 s
   */
  async rebuildProject(projectId: number): Promise<void> {
    await this.database.transaction(async (tx) => {
      await tx.query(DISABLE_STATEMENT_TIMEOUT);
      await tx.query(`SET LOCAL lock_timeout = '30s'`);
      await tx.query(LOCK_INDEX, [projectId]);
      await tx.query(DISCARD, [projectId]);
      await tx.query(BEGIN_BUILD, [projectId]);
    });
  }
}

class ProjectCheck {
  private readonly report: IndexReport = { objects: 0, isBuilding: false, differences: [], differenceCount: 0 };
  /** The objects with valid entries in each segment, and those that are pending. */
  private readonly covered: BigInt64Array[] = [];

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
      `SELECT number, first_seq, last_seq, objects, keys, seqs FROM index_segments WHERE project_id = $1 ORDER BY number`,
      [projectId],
    );
    for (const segment of segments) await this.checkSegment(segment, before);
    await this.checkUnknownBlocks(segments.map(({ number }) => number));
    const pending = await this.on.query<{ seq: string }>(`SELECT seq FROM index_pending WHERE project_id = $1`, [
      projectId,
    ]);
    this.covered.push(BigInt64Array.from(pending, ({ seq }) => BigInt(seq)));
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
  private async checkSegment(segment: SegmentRow, before: ReadonlyMap<string, bigint>): Promise<void> {
    const { number } = segment;
    const runs = SeqRuns.from(segment.seqs);
    if (runs.length !== segment.objects) {
      this.add(null, `segment ${number} has ${String(runs.length)} objects instead of ${String(segment.objects)}`);
      return;
    }
    if (runs.at(0).toString() !== segment.first_seq || runs.at(runs.length - 1).toString() !== segment.last_seq) {
      this.add(null, `segment ${number} has a range that differs from its objects`);
    }
    const valid: bigint[] = [];
    const isValid = emptyBitmap(runs.length);
    for (const [ordinal, seq] of [...runs].entries()) {
      if ((before.get(seq.toString()) ?? 0n) > BigInt(number)) continue;
      valid.push(seq);
      addOrdinal(isValid, ordinal);
    }
    this.covered.push(BigInt64Array.from(valid));
    const expected = await termsOf(await this.build(valid), this.projectId);
    const rows = await this.on.query<BlockRow>(
      `SELECT path, kind, last_number, last_text, value_count, posting_count, body
       FROM index_blocks WHERE project_id = $1 AND segment = $2`,
      [this.projectId, number],
    );
    for (const row of rows) {
      const { path, kind, body } = row;
      const entries = [...entriesOf(body, runs.length)];
      const postings = entries.reduce((sum, { count }) => sum + count, 0);
      if (entries.length !== row.value_count || postings !== row.posting_count) {
        this.add(null, `segment ${number} has a block of ${JSON.stringify(path)} with wrong counts`);
      }
      if (!hasLast(row, entries.at(-1)?.value ?? '')) {
        this.add(null, `segment ${number} has a block of ${JSON.stringify(path)} with a wrong last value`);
      }
      for (const entry of entries) {
        const ordinals = ordinalsOf(entry, runs.length).filter((ordinal) => hasOrdinal(isValid, ordinal));
        const found = ordinals.map((ordinal) => runs.at(ordinal));
        const term = termText(path, kind, entry.value);
        this.compare(number, term, expected.get(term) ?? [], found);
        expected.delete(term);
      }
    }
    for (const [term, missing] of expected) this.compare(number, term, missing, []);
    const keys = keysOf(rows.flatMap(({ path, kind }) => (kind === TermKind.key ? path : [])));
    if (JSON.stringify(keys) !== JSON.stringify(segment.keys)) {
      this.add(null, `segment ${number} has a list of keys that differs from its blocks`);
    }
  }

  private async checkUnknownBlocks(segments: readonly string[]): Promise<void> {
    const rows = await this.on.query<{ segment: string }>(
      `SELECT DISTINCT segment FROM index_blocks WHERE project_id = $1 AND segment <> ALL ($2::bigint[])`,
      [this.projectId, segments],
    );
    for (const { segment } of rows) this.add(null, `there are blocks of segment ${segment}, which does not exist`);
  }

  private compare(number: string, term: string, expected: readonly bigint[], found: readonly bigint[]): void {
    const [should, is] = [new Set(expected), new Set(found)];
    for (const seq of should) if (!is.has(seq)) this.add(seq, `segment ${number} lacks the term ${term}`);
    for (const seq of is) {
      if (!should.has(seq)) this.add(seq, `segment ${number} has the term ${term}, which the object does not have`);
    }
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
    const covered = sortedTogether(this.covered);
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
async function termsOf(builder: SegmentBuilder, projectId: number): Promise<Map<string, bigint[]>> {
  const terms = new Map<string, bigint[]>();
  const objects = builder.seqs.length;
  for await (const { path, kind, body } of builder.blocks(new EventLoopYield(projectId))) {
    for (const entry of entriesOf(body, objects)) {
      const seqs = ordinalsOf(entry, objects).map((ordinal) => builder.seqs.at(ordinal));
      terms.set(termText(path, kind, entry.value), seqs);
    }
  }
  return terms;
}

/** Whether the last value of a block's row is that of its last entry. */
function hasLast({ kind, last_number: number, last_text: text }: BlockRow, last: string): boolean {
  const isNumber = kind === TermKind.number;
  const isText = kind === TermKind.text;
  const hasNumber = isNumber ? number !== null && canonicalNumber(number) === canonicalNumber(last) : number === null;
  return hasNumber && text === (isText ? last : null);
}

function sortedTogether(lists: readonly BigInt64Array[]): BigInt64Array {
  const all = new BigInt64Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all.sort();
}

function termText(path: string, kind: number, value: string): string {
  return JSON.stringify([path, kind, value]);
}

import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { bitmapOf, countEntry, entriesOf } from './block.js';
import { IndexReadStore, type ReadSegment } from './index-read.store.js';
import {
  areStored,
  hasOutdated,
  numbersOf,
  readState,
  retryChanged,
  validObjects,
  type IndexState,
} from './index-state.js';
import { descending, intersect, type Bitmap } from './ordinals.js';
import { SeqRuns } from './seq-runs.js';
import { TermKind } from './term-kind.js';

/** A key that objects of the segments have. */
export interface IndexedKey {
  key: string;
  /** The number of objects. */
  objects: number;
  /** The kinds of its values, and of the elements of lists. */
  kinds: TermKind[];
  /** An object with the key, and one for each kind that does not name a type: long values, and lists or objects. */
  examples: bigint[];
}

/** The keys of the segments of a project, most frequent first. */
export interface IndexedKeys {
  keys: IndexedKey[];
  /** Objects that are not in a segment. */
  pending: bigint[];
  /** False where some keys were left out. */
  isAll: boolean;
}

/** The pairs of a key and a segment that are read. A project of 10 million objects with 1,000 keys has some 300,000. */
const KEYS_OF_SEGMENTS_MAX = 500_000;

/**
 * Blocks that are read to find a valid entry of a kind that only segments with outdated entries have. Where these are all outdated,
 * there may be others, and the kind is taken to be in use.
 */
const BLOCKS_CHECKED = 32;

/** The kinds whose values may be of several types. */
const AMBIGUOUS: readonly TermKind[] = [TermKind.long, TermKind.structure];

/**
 * $1 the project, $2 its segments, $3 those with outdated entries. The list of keys of a segment is null where it has many: then
 * their blocks are read. A kind is looked up in one segment after another until one has it.
 */
const KEYS = {
  name: 'index.keys',
  text: `
    WITH listed AS (
      SELECT s.number, k.path FROM index_segments AS s, LATERAL (
        SELECT unnest(s.keys) AS path
        UNION ALL SELECT b.path FROM index_blocks AS b
          WHERE s.keys IS NULL AND b.project_id = $1 AND b.segment = s.number AND b.kind = ${String(TermKind.key)}
      ) AS k WHERE s.project_id = $1 AND s.number = ANY ($2::bigint[])
      LIMIT ${String(KEYS_OF_SEGMENTS_MAX + 1)}
    ),
    counted AS MATERIALIZED (
      SELECT l.path, l.number, b.posting_count FROM listed AS l, LATERAL (
        SELECT posting_count FROM index_blocks AS b
        WHERE b.project_id = $1 AND b.segment = l.number AND b.path = l.path AND b.kind = ${String(TermKind.key)} OFFSET 0
      ) AS b
    ),
    keys AS MATERIALIZED (
      SELECT path, sum(posting_count) AS objects,
        array_agg(number ORDER BY number DESC) FILTER (WHERE number <> ALL ($3::bigint[])) AS whole,
        array_agg(number ORDER BY number DESC) FILTER (WHERE number = ANY ($3::bigint[])) AS partial
      FROM counted GROUP BY path
    )
    SELECT k.path, k.objects, (SELECT count(*) FROM counted) AS listed,
      ARRAY (
        SELECT t.kind FROM generate_series(1, ${String(TermKind.structure)}) AS t(kind) WHERE ${existsSql('k.whole')}
      ) AS whole_kinds,
      ARRAY (
        SELECT t.kind FROM generate_series(1, ${String(TermKind.structure)}) AS t(kind) WHERE ${existsSql('k.partial')}
      ) AS partial_kinds
    FROM keys AS k ORDER BY k.objects DESC, k.path COLLATE "C" LIMIT $4`,
};

function existsSql(segments: string): string {
  return `EXISTS (
    SELECT FROM unnest(${segments}) AS n(number), index_blocks AS b
    WHERE b.project_id = $1 AND b.segment = n.number AND b.path = k.path AND b.kind = t.kind)`;
}

/** The sets of objects of keys in some segments. OFFSET 0 keeps the planner from joining all blocks of the project. */
const KEY_BLOCKS = {
  name: 'index.key-blocks',
  text: `
    SELECT b.path, b.segment, b.body FROM unnest($2::bigint[]) AS n(number), unnest($3::text[]) AS k(path), LATERAL (
      SELECT path, segment, body FROM index_blocks AS b
      WHERE b.project_id = $1 AND b.segment = n.number AND b.path = k.path AND b.kind = ${String(TermKind.key)} OFFSET 0
    ) AS b`,
};

/** Some blocks of paths and kinds in the first of the segments that have them. */
const SOME_BLOCKS = {
  name: 'index.some-blocks',
  text: `
    SELECT r.id, b.segment, b.body
    FROM unnest($3::int[], $4::text[], $5::smallint[]) AS r(id, path, kind), LATERAL (
      SELECT b.segment, b.body FROM unnest($2::bigint[]) WITH ORDINALITY AS n(number, position), LATERAL (
        SELECT b.segment, b.body FROM index_blocks AS b
        WHERE b.project_id = $1 AND b.segment = n.number AND b.path = r.path AND b.kind = r.kind LIMIT $6
      ) AS b LIMIT $6
    ) AS b`,
};

/** Segments whose sets of objects are read at once: with 40 keys up to 3 MB. */
const SETS_SEGMENTS = 8;

interface KeyRow {
  path: string;
  objects: string;
  listed: string;
  whole_kinds: TermKind[];
  partial_kinds: TermKind[];
}

/** A segment with its objects whose entries are valid. */
interface ValidSegment {
  segment: ReadSegment;
  valid: Bitmap;
}

/** Finds the keys that objects have. */
@Injectable()
export class IndexKeys {
  constructor(
    private readonly database: Database,
    private readonly store: IndexReadStore,
  ) {}

  /**
   * @param limit the most keys
   * @returns null where the index is not usable now
   */
  read(projectId: number, limit: number, on: Queryable = this.database): Promise<IndexedKeys | null> {
    return retryChanged(async () => {
      const state = await readState(this.store, projectId, on);
      return state === null || state === 'changed' ? state : this.keysOf(projectId, state, limit, on);
    });
  }

  private async keysOf(
    projectId: number,
    { segments, pending }: IndexState,
    limit: number,
    on: Queryable,
  ): Promise<IndexedKeys | 'changed'> {
    const partial = segments.filter(hasOutdated);
    const whole = segments.filter((segment) => !partial.includes(segment));
    const rows = await on.query<KeyRow>(KEYS, [projectId, numbersOf(segments), numbersOf(partial), limit + 1]);
    const isAll = rows.length <= limit && Number(rows[0]?.listed ?? 0) <= KEYS_OF_SEGMENTS_MAX;
    const keys = rows.map(({ path }) => path);
    const outdated = await this.countOutdated(projectId, keys, partial, on);
    const used: IndexedKey[] = [];
    const [inWhole, inPartial]: [PathOfKind[], PathOfKind[]] = [[], []];
    for (const { path, objects, whole_kinds: kinds, partial_kinds: partialKinds } of rows.slice(0, limit)) {
      const left = Number(objects) - (outdated.get(path) ?? 0);
      if (left === 0) continue;
      used.push({ key: path, objects: left, kinds, examples: [] });
      (kinds.length > 0 ? inWhole : inPartial).push({ path, kind: TermKind.key });
      for (const kind of kinds) if (AMBIGUOUS.includes(kind)) inWhole.push({ path, kind });
      for (const kind of partialKinds) if (!kinds.includes(kind)) inPartial.push({ path, kind });
    }
    const byKey = new Map(used.map((one) => [one.key, one]));
    // Most first blocks have a valid entry.
    const first = await this.findObjects(projectId, inPartial, partial, 1, on);
    const unclear = first.filter(({ seq }) => seq === null);
    const found = [
      ...(await this.findObjects(projectId, inWhole, whole, 1, on)),
      ...first.filter(({ seq }) => seq !== null),
      ...(await this.findObjects(projectId, unclear, partial, BLOCKS_CHECKED, on)),
    ];
    for (const { path, kind, seq } of found) {
      const key = byKey.get(path);
      if (kind !== TermKind.key && key?.kinds.includes(kind) === false) key.kinds.push(kind);
      if (seq !== null && (kind === TermKind.key || AMBIGUOUS.includes(kind))) key?.examples.push(seq);
    }
    if (!(await areStored(projectId, segments, on))) return 'changed';
    return { keys: used, pending, isAll };
  }

  /** The number of objects of each key whose entries are outdated. */
  private async countOutdated(
    projectId: number,
    paths: readonly string[],
    segments: readonly ReadSegment[],
    on: Queryable,
  ): Promise<Map<string, number>> {
    const outdated = new Map<string, number>();
    for (let at = 0; at < segments.length; at += SETS_SEGMENTS) {
      const some = validByNumber(segments.slice(at, at + SETS_SEGMENTS));
      const rows = await on.query<{ path: string; segment: string; body: Buffer }>(KEY_BLOCKS, [
        projectId,
        [...some.keys()],
        paths,
      ]);
      for (const { path, segment: number, body } of rows) {
        const { segment, valid } = some.get(number) as ValidSegment;
        for (const entry of entriesOf(body, segment.objects)) {
          const left = countEntry(entry, valid, segment.objects);
          outdated.set(path, (outdated.get(path) ?? 0) + entry.count - left);
        }
      }
    }
    return outdated;
  }

  /**
   * Finds for each path and kind an object that has it, in the first segments that have some.
   * @param limit the blocks that are read for each
   * @returns those that some object has; the object is null where `limit` blocks had only outdated entries
   */
  private async findObjects(
    projectId: number,
    wanted: readonly PathOfKind[],
    segments: readonly ReadSegment[],
    limit: number,
    on: Queryable,
  ): Promise<(PathOfKind & { seq: bigint | null })[]> {
    if (wanted.length === 0) return [];
    const byNumber = validByNumber(segments);
    const rows = await on.query<{ id: number; segment: string; body: Buffer }>(SOME_BLOCKS, [
      projectId,
      [...byNumber.keys()],
      wanted.map((_, id) => id),
      wanted.map(({ path }) => path),
      wanted.map(({ kind }) => kind),
      limit,
    ]);
    const found = new Map<number, { seq: bigint | null; blocks: number }>();
    for (const { id, segment: number, body } of rows) {
      const { seq, blocks } = found.get(id) ?? { seq: null, blocks: 0 };
      found.set(id, { seq: seq ?? validSeqOf(body, byNumber.get(number) as ValidSegment), blocks: blocks + 1 });
    }
    return wanted.flatMap((one, id) => {
      const { seq, blocks } = found.get(id) ?? { seq: null, blocks: 0 };
      return seq !== null || blocks === limit ? [{ ...one, seq }] : [];
    });
  }
}

/** The terms of one kind at a path. */
interface PathOfKind {
  path: string;
  kind: TermKind;
}

function validByNumber(segments: readonly ReadSegment[]): Map<string, ValidSegment> {
  return new Map(segments.map((segment) => [String(segment.number), { segment, valid: validObjects(segment) }]));
}

/** The newest valid object of a block; null where all its entries are outdated. */
function validSeqOf(body: Buffer, { segment, valid }: ValidSegment): bigint | null {
  for (const entry of entriesOf(body, segment.objects)) {
    for (const ordinal of descending(intersect(bitmapOf(entry, segment.objects), valid))) {
      return SeqRuns.from(segment.seqs).at(ordinal);
    }
  }
  return null;
}

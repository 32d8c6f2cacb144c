import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import type { BlockRequest } from './lookup.js';
import { readStatement, REASON_BITS, Row, type PendingCondition, type SegmentRange } from './index-read-sql.js';
import type { TermKind } from './term-kind.js';
import type { UnusableReason } from './unusable-reason.js';

/** A segment with the blocks that were requested, by the index of the request. */
export interface ReadSegment {
  number: bigint;
  firstSeq: bigint;
  lastSeq: bigint;
  objects: number;
  /** Empty where it has no matches, or only counts are read. */
  seqs: Buffer;
  /** Whether it has so many keys that a value under any key is not looked up. */
  hasManyKeys: boolean;
  /** The sequence numbers of objects whose entries are outdated. */
  outdated: bigint[];
  blocks: ReadBlock[];
}

/** A block; or only the number of its objects, where that was requested or the block was left out. */
interface ReadBlock {
  request: number;
  body: Buffer | null;
  count: number;
  /** Of a request for sorted blocks; otherwise 0. */
  kind: TermKind;
}

/** Some segments, and what a query must know about the index as a whole; of one state of the database. */
export interface ReadSegments {
  segments: ReadSegment[];
  /** The segment after these, of which only its range is known. */
  next: { firstSeq: bigint; lastSeq: bigint } | null;
  /** Changes whenever a segment is added or removed. */
  version: string;
  /** The pending objects that match the condition. */
  pending: bigint[];
  /** Why the index is not usable now; empty where it is. */
  unusable: UnusableReason[];
}

interface ResultRow {
  id: number;
  number: string;
  first_seq: string;
  last_seq: string;
  objects: number;
  body: Buffer | null;
}

const EMPTY = Buffer.alloc(0);

/** Reads segments and blocks of the index. */
@Injectable()
export class IndexReadStore {
  constructor(private readonly database: Database) {}

  /** @param condition that of the pending objects */
  async read(
    projectId: number,
    requests: readonly BlockRequest[],
    range: SegmentRange,
    condition: PendingCondition,
    on: Queryable = this.database,
  ): Promise<ReadSegments> {
    const { text, values } = readStatement(projectId, requests, range, condition);
    return resultOf(await on.query<ResultRow>({ text, preparedFor: projectId }, values));
  }
}

function resultOf(rows: readonly ResultRow[]): ReadSegments {
  const result: ReadSegments = { segments: [], next: null, version: '', pending: [], unusable: [] };
  const byNumber = new Map<string, ReadSegment>();
  const others: ResultRow[] = [];
  for (const row of rows) {
    if (row.id === Row.segment) {
      const segment: ReadSegment = {
        number: BigInt(row.number),
        firstSeq: BigInt(row.first_seq),
        lastSeq: BigInt(row.last_seq),
        objects: row.objects,
        seqs: row.body ?? EMPTY,
        hasManyKeys: false,
        outdated: [],
        blocks: [],
      };
      byNumber.set(row.number, segment);
      result.segments.push(segment);
    } else if (row.id === Row.next) result.next = { firstSeq: BigInt(row.first_seq), lastSeq: BigInt(row.last_seq) };
    else if (row.id === Row.version) {
      result.version = `${row.number} ${row.first_seq}`;
      const reasons = Number(row.last_seq);
      result.unusable = REASON_BITS.filter((_, bit) => reasons & (2 ** bit));
    } else if (row.id === Row.pending) result.pending.push(BigInt(row.number));
    else others.push(row);
  }
  for (const { id, number, first_seq, last_seq, objects, body } of others) {
    const segment = byNumber.get(number);
    if (segment === undefined) continue;
    if (id === Row.outdated) segment.outdated = bigintsOf(body ?? EMPTY);
    else if (id === Row.manyKeys) segment.hasManyKeys = true;
    else if (last_seq === '1') result.unusable = ['many_bytes'];
    else segment.blocks.push({ request: id, body, count: objects, kind: Number(first_seq) as TermKind });
  }
  return result;
}

/** @param body numbers of eight bytes, highest byte first, as `int8send` writes them: one row for each number takes 10 µs */
function bigintsOf(body: Buffer): bigint[] {
  return Array.from({ length: body.length / 8 }, (_, index) => body.readBigInt64BE(8 * index));
}

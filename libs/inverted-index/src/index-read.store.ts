import { Database, type Queryable, type Statement } from '#database';
import { Injectable } from '@nestjs/common';
import type { BlockRequest } from './index-plan.js';
import { TermKind, TEXT_BYTES_MAX } from './term-kind.js';

/** Where to begin in the list of segments, and in which direction to read. */
export interface SegmentRange {
  /** Newest first, or oldest first. */
  isAscending: boolean;
  /** Only segments that may have objects beyond this sequence number: smaller ones, or when ascending greater ones. */
  beyondSeq: string | null;
  /** How many segments to leave out, and how many to read at most. */
  skip: number;
  limit: number;
  /** Whether the number of objects is enough, of a block that has one value. */
  countsOnly: boolean;
}

/** A segment with the blocks that were requested, by the index of the request. */
export interface ReadSegment {
  number: bigint;
  firstSeq: bigint;
  lastSeq: bigint;
  objects: number;
  seqs: Buffer;
  /** The sequence numbers of objects whose entries are outdated. */
  outdated: bigint[];
  blocks: ReadBlock[];
}

/** A block, or only the number of its objects where that was requested. */
export interface ReadBlock {
  request: number;
  body: Buffer | null;
  count: number;
}

/** Some segments, and what a query must know about the index as a whole; of one state of the database. */
export interface ReadSegments {
  segments: ReadSegment[];
  /** The segment after these, of which only its range is known. */
  next: { firstSeq: bigint; lastSeq: bigint } | null;
  /** Changes whenever a segment is added or removed. */
  version: string;
  /** The pending objects that match the condition of the first step. */
  pending: bigint[];
  /** Whether the index does not have all objects yet, or too many are pending. */
  isIncomplete: boolean;
}

/** Beyond this number of pending objects a query does not use the index. */
const PENDING_READ_MAX = 5_000;

/**
 * The condition of a query in SQL, for the pending objects, which are `objects AS o`. Its values are appended to those of the statement.
 */
export type PendingCondition = (values: unknown[]) => string;

/**
 * One statement for all requests, so that they see one state. Parameters: $1 the project, $2 the limit and $3 the offset of the list
 * of segments, $4 the sequence number beyond which they are, $5 whether counts are enough; then arrays of the requests of each
 * type.
 */
function readSql(types: ReadonlySet<string>, isAscending: boolean, condition: string): string {
  let parameters = 5;
  const arrays = (...casts: string[]): string => casts.map((cast) => `$${String(++parameters)}::${cast}[]`).join(', ');
  const order = isAscending ? 'first_seq' : 'last_seq DESC';
  const beyond = isAscending ? 'last_seq > $4::bigint' : 'first_seq < $4::bigint';
  const block = (condition: string, hasValue = 'true'): string =>
    `SELECT CASE WHEN b.value_count = 1 AND $5::boolean THEN NULL ELSE b.body END AS body,
       CASE WHEN ${hasValue} THEN b.posting_count ELSE 0 END AS count
     FROM index_blocks AS b WHERE b.project_id = $1 AND b.segment = s.number AND ${condition}`;
  const point = (column: string, kind: TermKind, path: string): string => {
    const other = column === 'last_number' ? '' : 'b.last_number IS NULL AND ';
    return block(
      `b.path = ${path} AND b.kind = ${String(kind)} AND ${other}b.${column} >= r.value ` +
        `ORDER BY b.last_number, b.last_text LIMIT 1`,
      `b.${column} = r.value`,
    );
  };
  const from = (values: string, columns: string, blocks: string): string => `
    SELECT r.id, s.number, NULL::bigint, NULL::bigint, b.count, b.body
    FROM taken AS s, unnest(${values}) AS r(${columns}), LATERAL (${blocks}) AS b`;
  const parts: string[] = [];
  if (types.has('plain')) {
    parts.push(from(arrays('int', 'text', 'smallint'), 'id, path, kind', block('b.path = r.path AND b.kind = r.kind')));
  }
  for (const [column, kind, cast] of [
    ['last_number', TermKind.number, 'numeric'],
    ['last_text', TermKind.text, 'text'],
  ] as const) {
    const nulls = column === 'last_number' ? '' : 'b.last_number IS NULL AND ';
    if (types.has(`point ${String(kind)}`)) {
      parts.push(from(arrays('int', 'text', cast), 'id, path, value', point(column, kind, 'r.path')));
    }
    if (types.has(`range ${String(kind)}`)) {
      const inRange = (compare: string): string =>
        `b.path = r.path AND b.kind = ${String(kind)} AND ${nulls}b.${column} >= r.low AND ${compare}`;
      const inner = block(inRange(`b.${column} < r.high`));
      const last = block(inRange(`b.${column} >= r.high ORDER BY b.last_number, b.last_text LIMIT 1`));
      parts.push(from(arrays('int', 'text', cast, cast), 'id, path, low, high', `(${inner}) UNION ALL (${last})`));
    }
    if (types.has(`anyKey ${String(kind)}`)) {
      const values = arrays('int', cast);
      const keys = `SELECT b.body, b.count FROM unnest(s.keys) AS k(path), LATERAL (${point(column, kind, 'k.path')}) AS b`;
      parts.push(from(values, 'id, value', keys));
    }
  }
  if (types.has('anyKey')) {
    const keys = `SELECT b.body, b.count FROM unnest(s.keys) AS k(path), LATERAL (${block('b.path = k.path AND b.kind = r.kind')}) AS b`;
    parts.push(from(arrays('int', 'smallint'), 'id, kind', keys));
  }
  return `
    WITH listed AS MATERIALIZED (
      SELECT row_number() OVER (ORDER BY ${order}, number) AS position, number, first_seq, last_seq, objects, keys, seqs
      FROM index_segments WHERE project_id = $1 AND ($4::bigint IS NULL OR ${beyond})
      ORDER BY ${order}, number LIMIT $2::bigint + 1 OFFSET $3::bigint
    ),
    pending AS MATERIALIZED (
      SELECT seq FROM index_pending WHERE project_id = $1 AND $3::bigint = 0 LIMIT ${String(PENDING_READ_MAX + 1)}
    ),
    taken AS (SELECT * FROM listed WHERE position <= $2::bigint + $3::bigint)
    SELECT ${String(Row.segment)} AS id, number, first_seq, last_seq, objects, seqs AS body FROM taken
    UNION ALL SELECT ${String(Row.next)}, number, first_seq, last_seq, NULL, NULL FROM listed
      WHERE position > $2::bigint + $3::bigint
    UNION ALL SELECT ${String(Row.outdated)}, s.number, o.seq, NULL, NULL, NULL FROM taken AS s, index_outdated AS o
      WHERE o.project_id = $1 AND o.seq BETWEEN s.first_seq AND s.last_seq AND o.before_segment > s.number
    UNION ALL SELECT ${String(Row.version)}, sum(number)::bigint, count(*), (
      SELECT count(*) FROM index_builds WHERE project_id = $1
    ) + (SELECT count(*) FROM pending) / ${String(PENDING_READ_MAX + 1)}, $5::boolean::int, NULL
      FROM index_segments WHERE project_id = $1
    UNION ALL SELECT ${String(Row.pending)}, o.seq, NULL, NULL, NULL, NULL
      FROM pending AS p, objects AS o WHERE o.project_id = $1 AND o.seq = p.seq AND (${condition})
    ${parts.map((part) => ` UNION ALL ${part}`).join('')}`;
}

/** What a row of the statement is; a row with a block has the index of its request. */
const Row = { segment: -1, next: -2, outdated: -3, version: -4, pending: -5 } as const;

interface ResultRow {
  id: number;
  number: string;
  first_seq: string;
  last_seq: string;
  objects: number;
  body: Buffer;
}

/** Each connection keeps the plans of its prepared statements, some 100 KB each. */
const PREPARED_MAX = 32;

/** Reads segments and blocks of the index. */
@Injectable()
export class IndexReadStore {
  /** By the types of the requests, the direction, and the condition of the pending objects. */
  private readonly statements = new Map<string, Statement>();

  constructor(private readonly database: Database) {}

  /** @param condition that of the pending objects */
  async read(
    projectId: number,
    requests: readonly BlockRequest[],
    { isAscending, beyondSeq, skip, limit, countsOnly }: SegmentRange,
    condition: PendingCondition,
    on: Queryable = this.database,
  ): Promise<ReadSegments> {
    const groups = groupsOf(requests);
    const values: unknown[] = [projectId, limit, skip, beyondSeq, countsOnly];
    for (const name of GROUP_ORDER) {
      const group = groups.get(name);
      if (group !== undefined) values.push(...columnsOf(group));
    }
    const pending = condition(values);
    return resultOf(await on.query<ResultRow>(this.statement(groups, isAscending, pending), values));
  }

  private statement(groups: ReadonlyMap<string, unknown>, isAscending: boolean, pending: string): Statement {
    const types = [...groups.keys()].sort().join();
    const key = `${types} ${String(isAscending)} ${pending}`;
    const known = this.statements.get(key);
    if (known !== undefined) return known;
    const text = readSql(new Set(groups.keys()), isAscending, pending);
    if (this.statements.size === PREPARED_MAX) return { text };
    const statement = { name: `index.read-${String(this.statements.size)}`, text };
    this.statements.set(key, statement);
    return statement;
  }
}

type NumberedRequest = BlockRequest & { id: number };

/** The groups of requests in the order of their parameters in the statement. */
const GROUP_ORDER = [
  'plain',
  ...[TermKind.number, TermKind.text].flatMap((kind) => [
    `point ${String(kind)}`,
    `range ${String(kind)}`,
    `anyKey ${String(kind)}`,
  ]),
  'anyKey',
];

function groupsOf(requests: readonly BlockRequest[]): Map<string, NumberedRequest[]> {
  const groups = new Map<string, NumberedRequest[]>();
  for (const [id, request] of requests.entries()) {
    const name = groupName(request);
    const group = groups.get(name) ?? [];
    group.push({ ...request, id });
    groups.set(name, group);
  }
  return groups;
}

function groupName(request: BlockRequest): string {
  if (request.type === 'plain' || (request.type === 'anyKey' && request.value === null)) return request.type;
  return `${request.type} ${String(request.kind)}`;
}

/** Values before and after all of a kind; the text is longer than an indexed one. */
const LEAST = { [TermKind.number]: '-Infinity', [TermKind.text]: '' } as const;
const GREATEST = { [TermKind.number]: 'Infinity', [TermKind.text]: '\u{10ffff}'.repeat(TEXT_BYTES_MAX) } as const;

/** The values of the parameters of a group. */
function columnsOf(group: readonly NumberedRequest[]): unknown[][] {
  const rows = group.map((request): unknown[] => {
    const { id } = request;
    switch (request.type) {
      case 'plain':
        return [id, request.path, request.kind];
      case 'point':
        return [id, request.path, request.value];
      case 'range':
        return [id, request.path, request.low ?? LEAST[request.kind], request.high ?? GREATEST[request.kind]];
      case 'anyKey':
        return [id, request.value ?? request.kind];
    }
  });
  return (rows[0] ?? []).map((_, column) => rows.map((row) => row[column]));
}

function resultOf(rows: readonly ResultRow[]): ReadSegments {
  const result: ReadSegments = { segments: [], next: null, version: '', pending: [], isIncomplete: false };
  const byNumber = new Map<string, ReadSegment>();
  const others: ResultRow[] = [];
  for (const row of rows) {
    if (row.id === Row.segment) {
      const segment: ReadSegment = {
        number: BigInt(row.number),
        firstSeq: BigInt(row.first_seq),
        lastSeq: BigInt(row.last_seq),
        objects: row.objects,
        seqs: row.body,
        outdated: [],
        blocks: [],
      };
      byNumber.set(row.number, segment);
      result.segments.push(segment);
    } else if (row.id === Row.next) result.next = { firstSeq: BigInt(row.first_seq), lastSeq: BigInt(row.last_seq) };
    else if (row.id === Row.version) {
      result.version = `${row.number} ${row.first_seq}`;
      result.isIncomplete = row.last_seq !== '0';
    } else if (row.id === Row.pending) result.pending.push(BigInt(row.number));
    else others.push(row);
  }
  for (const { id, number, first_seq, objects, body } of others) {
    const segment = byNumber.get(number);
    if (id === Row.outdated) segment?.outdated.push(BigInt(first_seq));
    else segment?.blocks.push({ request: id, body, count: objects });
  }
  return result;
}

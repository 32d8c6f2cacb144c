import type { BlockRequest } from './lookup.js';
import { sortedBlocksSql, valueColumnOf } from './sorted-blocks-sql.js';
import { TermKind, TEXT_BYTES_MAX } from './term-kind.js';

/** Which segments to read. */
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
  /** Sets of requests by their index: a segment that has no block for one of them has no matches. */
  required: readonly (readonly number[])[];
  /** Whether to leave out large blocks of segments in which one of the required requests has few objects. */
  skipsLargeBlocks: boolean;
}

/** Beyond this number of pending, wide and outdated objects a query does not use the index. */
const PENDING_READ_MAX = 5_000;
const WIDE_READ_MAX = 50;
const OUTDATED_READ_MAX = 20_000;

/**
 * The most bytes of the blocks of one statement, other than sorted ones. `$contains` reads all texts of a key, which may be 20 MB in each
 * segment. Of numbers, it is some 2.5 million different ones. Where there are more bytes, the index is not usable.
 */
const BLOCK_BYTES_MAX = 32 * 1024 ** 2;
/** The largest block, of 128 long texts. */
const LARGE_BLOCK_BYTES = 128 * 1024;

/**
 * In segments where a condition has on average at most so many objects for a value, blocks of others with more than so many are left out.
 * A block of 256 objects has 512 bytes.
 */
const FEW_OBJECTS = 8;
const LARGE_BLOCK_OBJECTS = 256;

/** The reasons as the bits of a number in SQL: the first is 1, the second 2, the third 4. */
export const REASON_BITS = ['being_built', 'many_pending', 'many_wide', 'many_outdated'] as const;

/**
 * The condition of a query in SQL, for the pending objects, which are `objects AS o`. Its values are appended to those of the statement.
 */
export type PendingCondition = (values: unknown[]) => string;

/** The statement that reads the segments and blocks of some requests. */
export function readStatement(
  projectId: number,
  requests: readonly BlockRequest[],
  range: SegmentRange,
  condition: PendingCondition,
): { text: string; values: unknown[] } {
  const groups = groupsOf(requests);
  const values: unknown[] = [projectId, range.skip, range.beyondSeq, range.countsOnly];
  for (const name of GROUP_ORDER) values.push(...(groups.get(name)?.flatMap(valuesOf) ?? []));
  return { text: readSql(groups, range, condition(values)), values };
}

/**
 * One statement for all requests, so that they see one state. Parameters: $1 the project, $2 the number of segments to leave out, $3 the
 * sequence number beyond which they are, $4 whether counts are enough; then the columns of each request.
 *
 * The limit and the number of requests are constants of the text: with parameters instead, PostgreSQL would expect so many rows that it
 * plans a prepared statement again for each execution, which takes longer than the execution.
 */
function readSql(
  groups: Groups,
  {
    isAscending,
    limit,
    required,
    skipsLargeBlocks,
  }: Pick<SegmentRange, 'isAscending' | 'limit' | 'required' | 'skipsLargeBlocks'>,
  condition: string,
): string {
  let parameters = 4;
  /** The parameters of each request. */
  const placesOf = new Map<number, readonly string[]>();
  const rowsOf = (name: string, casts: readonly string[]): string => {
    const row = ({ id }: NumberedRequest): string => {
      const places = casts.map((cast) => `$${String(++parameters)}::${cast}`);
      placesOf.set(id, places);
      return `(${places.join(', ')})`;
    };
    return `(VALUES ${(groups.get(name) ?? []).map(row).join(', ')})`;
  };
  const order = isAscending ? 'first_seq' : 'last_seq DESC';
  const beyond = isAscending ? 'last_seq > $3::bigint' : 'first_seq < $3::bigint';
  const isLarge = `b.posting_count > ${String(LARGE_BLOCK_OBJECTS)}`;
  const body = `CASE WHEN b.value_count = 1 AND ($4::boolean${skipsLargeBlocks ? ` OR s.is_selective AND ${isLarge}` : ''}) THEN NULL ELSE b.body END`;
  const block = (where: string): string =>
    `SELECT ${body} AS body, b.posting_count AS count
     FROM index_blocks AS b WHERE b.project_id = $1 AND b.segment = s.number AND ${where}`;
  const point = (column: string, kind: TermKind, path: string): string => {
    const other = column === 'last_number' ? '' : 'b.last_number IS NULL AND ';
    const first = `
      SELECT * FROM index_blocks AS b
      WHERE b.project_id = $1 AND b.segment = s.number AND b.path = ${path} AND b.kind = ${String(kind)}
        AND ${other}b.${column} >= r.value
      ORDER BY b.last_number, b.last_text LIMIT 1`;
    // The only value of a block is its last one.
    return `
      SELECT ${body} AS body,
        CASE WHEN b.${column} = r.value THEN b.posting_count ELSE 0 END AS count
      FROM (${first}) AS b WHERE b.value_count > 1 OR b.${column} = r.value`;
  };
  const from = (rows: string, columns: string, blocks: string, where = 'true'): string => `
    SELECT r.id, s.number, b.count, b.body
    FROM matching AS s, ${rows} AS r(${columns}), LATERAL (${blocks}) AS b WHERE ${where}`;
  const anyKey = (blocks: string): string =>
    `SELECT b.body, b.count FROM unnest(s.keys) AS k(path), LATERAL (${blocks}) AS b ` +
    `WHERE (position('.' IN k.path) > 0) = r.is_dotted`;
  const parts: string[] = [];
  if (groups.has('plain')) {
    const rows = rowsOf('plain', ['int', 'text', 'smallint']);
    parts.push(from(rows, 'id, path, kind', block('b.path = r.path AND b.kind = r.kind')));
  }
  for (const [column, kind, cast] of [
    ['last_number', TermKind.number, 'numeric'],
    ['last_text', TermKind.text, 'text'],
  ] as const) {
    const nulls = column === 'last_number' ? '' : 'b.last_number IS NULL AND ';
    const name = String(kind);
    if (groups.has(`point ${name}`)) {
      const rows = rowsOf(`point ${name}`, ['int', 'text', cast]);
      parts.push(from(rows, 'id, path, value', point(column, kind, 'r.path')));
    }
    if (groups.has(`range ${name}`)) {
      const rows = rowsOf(`range ${name}`, ['int', 'text', cast, cast, 'boolean']);
      const inRange = (compare: string): string =>
        `b.path = r.path AND b.kind = ${name} AND ${nulls}b.${column} >= r.low AND ${compare}`;
      const inner = block(inRange(`b.${column} < r.high`));
      const last = block(inRange(`b.${column} >= r.high ORDER BY b.last_number, b.last_text LIMIT 1`));
      const isOfSegment = 'r.is_single IS NULL OR r.is_single = (r.path = ANY (s.single_paths))';
      parts.push(from(rows, 'id, path, low, high, is_single', `(${inner}) UNION ALL (${last})`, isOfSegment));
    }
    if (groups.has(`anyKey ${name}`)) {
      const rows = rowsOf(`anyKey ${name}`, ['int', cast, 'boolean']);
      parts.push(from(rows, 'id, value, is_dotted', anyKey(point(column, kind, 'k.path'))));
    }
  }
  if (groups.has('anyKey')) {
    const rows = rowsOf('anyKey', ['int', 'smallint', 'boolean']);
    parts.push(from(rows, 'id, kind, is_dotted', anyKey(block('b.path = k.path AND b.kind = r.kind'))));
  }
  const blocks = parts.length === 0 ? [] : [mayBeLarge(groups, limit) ? boundedSql(parts) : unboundedSql(parts)];
  const [sorted] = groups.get('sorted') ?? [];
  if (sorted?.type === 'sorted') {
    const rows = rowsOf('sorted', ['int', 'text', valueColumnOf(sorted) === 'last_number' ? 'numeric' : 'text']);
    blocks.push(`
      SELECT r.id, s.number, b.kind, NULL::bigint, b.posting_count, b.body
      FROM matching AS s, ${rows} AS r(id, path, value), LATERAL (${sortedBlocksSql(sorted)}) AS b`);
  }
  const reason = (bit: (typeof REASON_BITS)[number], rows: string, max: number): string =>
    `((SELECT count(1) FROM ${rows}) > ${String(max)})::int * ${String(2 ** REASON_BITS.indexOf(bit))}`;
  const byId = new Map(Array.from(groups.values()).flatMap((group) => group.map((request) => [request.id, request])));
  // The limits keep PostgreSQL from reading the blocks of all segments at once.
  const probes = required.map((ids) => {
    const some = ids.map((id) => `(${probeSql(byId.get(id), placesOf.get(id) ?? [])})`);
    return `, LATERAL (SELECT * FROM (${some.join(' UNION ALL ')}) AS found LIMIT 1) AS probe_${String(ids[0])}`;
  });
  const counts = required.filter((ids) => ids.length === 1).map(([id]) => `probe_${String(id)}.count`);
  const isSelective =
    skipsLargeBlocks && counts.length > 0
      ? `coalesce(least(${counts.join(', ')}) <= ${String(FEW_OBJECTS)}, false)`
      : 'false';
  return `
    WITH listed AS MATERIALIZED (
      SELECT row_number() OVER (ORDER BY ${order}, number) AS position, number, first_seq, last_seq, objects, keys, seqs
      FROM index_segments WHERE project_id = $1 AND ($3::bigint IS NULL OR ${beyond})
      ORDER BY ${order}, number LIMIT ${String(limit + 1)} OFFSET $2::bigint
    ),
    pending AS MATERIALIZED (
      SELECT seq, is_wide FROM index_pending WHERE project_id = $1 LIMIT ${String(PENDING_READ_MAX + 1)}
    ),
    incomplete AS MATERIALIZED (
      SELECT ${reason('being_built', 'index_builds WHERE project_id = $1', 0)}
        + ${reason('many_pending', 'pending', PENDING_READ_MAX)}
        + ${reason('many_wide', 'pending WHERE is_wide', WIDE_READ_MAX)} AS reasons
    ),
    taken AS MATERIALIZED (
      SELECT listed.* FROM listed, incomplete WHERE position <= $2::bigint + ${String(limit)} AND reasons = 0
    ),
    matching AS MATERIALIZED (
      SELECT s.*, ${isSelective} AS is_selective, ${singlePathsSql(byId, placesOf)} AS single_paths
      FROM taken AS s${probes.join('')}
    ),
    outdated AS MATERIALIZED (
      SELECT s.number, o.seq FROM taken AS s, index_outdated AS o
      WHERE o.project_id = $1 AND o.seq BETWEEN s.first_seq AND s.last_seq AND o.before_segment > s.number
      LIMIT ${String(OUTDATED_READ_MAX + 1)}
    )
    SELECT ${String(Row.segment)} AS id, s.number, s.first_seq, s.last_seq, s.objects,
      CASE WHEN NOT $4::boolean THEN m.seqs END AS body
      FROM taken AS s LEFT JOIN matching AS m ON m.number = s.number
    UNION ALL SELECT ${String(Row.manyKeys)}, number, NULL, NULL, NULL, NULL FROM taken WHERE keys IS NULL
    UNION ALL SELECT ${String(Row.next)}, number, first_seq, last_seq, NULL, NULL FROM listed
      WHERE position > $2::bigint + ${String(limit)}
    UNION ALL SELECT ${String(Row.outdated)}, number, NULL, NULL, NULL, string_agg(int8send(seq), ''::bytea)
      FROM outdated GROUP BY number
    UNION ALL SELECT ${String(Row.version)}, sum(number)::bigint, count(number),
      (SELECT reasons FROM incomplete) + ${reason('many_outdated', 'outdated', OUTDATED_READ_MAX)}, $4::boolean::int, NULL
      FROM index_segments WHERE project_id = $1
    UNION ALL SELECT ${String(Row.pending)}, o.seq, NULL, NULL, NULL, NULL
      FROM incomplete, pending AS p, objects AS o
      WHERE reasons = 0 AND o.project_id = $1 AND o.seq = p.seq AND (${condition})
    ${blocks.map((part) => ` UNION ALL ${part}`).join('')}`;
}

/** Whether the blocks may have more bytes than BLOCK_BYTES_MAX: to sum them up takes 10 µs, which most statements do not need. */
function mayBeLarge(groups: Groups, limit: number): boolean {
  const requests = Array.from(groups.values()).flat();
  const areSingle = requests.every(({ type }) => type === 'plain' || type === 'point' || type === 'sorted');
  return !areSingle || requests.length * limit * LARGE_BLOCK_BYTES > BLOCK_BYTES_MAX;
}

function unboundedSql(parts: readonly string[]): string {
  return `SELECT id, number, NULL, NULL, count, body FROM (${parts.join(' UNION ALL ')}) AS block(id, number, count, body)`;
}

/** The blocks of all parts. Those beyond BLOCK_BYTES_MAX have a 1 as their last sequence number; their bodies are not read. */
function boundedSql(parts: readonly string[]): string {
  const max = String(BLOCK_BYTES_MAX);
  return `
    SELECT id, number, NULL, CASE WHEN bytes > ${max} THEN 1 END, count, CASE WHEN bytes <= ${max} THEN body END
    FROM (
      SELECT *, sum(octet_length(body)) OVER (ROWS UNBOUNDED PRECEDING) AS bytes
      FROM (${parts.join(' UNION ALL ')}) AS block(id, number, count, body)
    ) AS sized`;
}

/**
 * Reads one row where the segment `s` has a block that the request would read, or for a range with an upper bound, one that it may read:
 * the average number of objects of a value of the block, or null for a range, which has several blocks.
 * @param places the parameters of the request
 */
function probeSql(request: NumberedRequest | undefined, [, path, first]: readonly string[]): string {
  if (request === undefined || request.type === 'anyKey' || request.type === 'sorted') {
    throw new Error('a condition on any key is not required');
  }
  const count = request.type === 'range' ? 'NULL::int' : 'b.posting_count / b.value_count';
  const ofPath = `
    SELECT ${count} AS count FROM index_blocks AS b
    WHERE b.project_id = $1 AND b.segment = s.number AND b.path = ${String(path)}`;
  if (request.type === 'plain') return `${ofPath} AND b.kind = ${String(first)} LIMIT 1`;
  const isFrom =
    request.kind === TermKind.number
      ? `b.last_number >= ${String(first)}`
      : `b.last_number IS NULL AND b.last_text >= ${String(first)}`;
  return `${ofPath} AND b.kind = ${String(request.kind)} AND ${isFrom} ORDER BY b.last_number, b.last_text LIMIT 1`;
}

/**
 * The paths of requests with `isSingle` at which no object of the segment `s` has several values. An object with the path has at least one
 * entry of a value, or of a list or an object as a whole, so that none has more where these are as many as the objects.
 */
function singlePathsSql(
  byId: ReadonlyMap<number, NumberedRequest>,
  placesOf: ReadonlyMap<number, readonly string[]>,
): string {
  const paths = Array.from(byId.values()).flatMap((request) => {
    return request.type === 'range' && request.isSingle === true ? [placesOf.get(request.id)?.[1]] : [];
  });
  if (paths.length === 0) return 'NULL::text[]';
  return `ARRAY (
    SELECT p.path FROM (VALUES ${paths.map((path) => `(${String(path)})`).join(', ')}) AS p(path), LATERAL (
      SELECT sum(b.posting_count) FILTER (WHERE b.kind BETWEEN ${String(TermKind.null)} AND ${String(TermKind.structure)}) AS entries,
        max(b.posting_count) FILTER (WHERE b.kind IN (${String(TermKind.key)}, ${String(TermKind.member)})) AS objects
      FROM index_blocks AS b WHERE b.project_id = $1 AND b.segment = s.number AND b.path = p.path
    ) AS counted WHERE entries <= objects)`;
}

/** What a row of the statement is; a row with a block has the index of its request. */
export const Row = { segment: -1, next: -2, outdated: -3, version: -4, pending: -5, manyKeys: -6 } as const;

type NumberedRequest = BlockRequest & { id: number };
type Groups = ReadonlyMap<string, readonly NumberedRequest[]>;

/** The groups of requests in the order of their parameters in the statement. */
const GROUP_ORDER = [
  'plain',
  ...[TermKind.number, TermKind.text].flatMap((kind) => [
    `point ${String(kind)}`,
    `range ${String(kind)}`,
    `anyKey ${String(kind)}`,
  ]),
  'anyKey',
  'sorted',
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
  if (request.type === 'plain' || request.type === 'sorted') return request.type;
  if (request.type === 'anyKey' && request.value === null) return request.type;
  return `${request.type} ${String(request.kind)}`;
}

/** Values before and after all of a kind; the text is longer than an indexed one. */
const LEAST = { [TermKind.number]: '-Infinity', [TermKind.text]: '' } as const;
const GREATEST = { [TermKind.number]: 'Infinity', [TermKind.text]: '\u{10ffff}'.repeat(TEXT_BYTES_MAX) } as const;

/** The values of the parameters of a request. */
function valuesOf(request: NumberedRequest): unknown[] {
  const { id } = request;
  switch (request.type) {
    case 'plain':
      return [id, request.path, request.kind];
    case 'point':
      return [id, request.path, request.value];
    case 'range':
      return [
        id,
        request.path,
        request.low ?? LEAST[request.kind],
        request.high ?? GREATEST[request.kind],
        request.isSingle,
      ];
    case 'anyKey':
      return [id, request.value ?? request.kind, request.isDotted];
    case 'sorted':
      return [id, request.path, valueColumnOf(request) === null ? null : request.from?.value];
  }
}

import { filterSql, isEverything, type Filter } from '#filter';
import {
  keysetConditionSql,
  cappedCount,
  countRows,
  isAscending,
  readSlice,
  pageSql,
  toSlice,
  type Count,
  type ListSql,
  type PageRequest,
  type PagePosition,
  type Slice,
} from '#http';
import { Config } from '#platform';
import { Database, type Statement } from '#database';
import { Injectable } from '@nestjs/common';
import {
  boundedRowsSql,
  boundedSlice,
  COLUMNS_WITHOUT_DATA,
  OBJECT_COLUMNS,
  OBJECT_FILTER_COLUMNS,
  type ObjectRow,
  type WithoutData,
} from '#store';

/** A page of objects and how many there are in all. */
export interface ObjectPage {
  slice: Slice<ObjectRow>;
  count: Count;
}

type LightSlice = Slice<WithoutData<ObjectRow>>;
type LightPage = Omit<ObjectPage, 'slice'> & { slice: LightSlice };

/**
 * How many of the newest objects a filtered page looks through one by one before it asks the GIN index. At 1 M objects the
 * walk costs 0.6 µs an object and the index 1 µs a match: with 2,000, a pair that one object in 200 has is found by the
 * walk, a rarer one has so few matches that the index is quick, and neither pays more than 1.2 ms for the other's sake.
 */
const WALK_ROWS = 2_000;
/** Counting to the cap needs more matches than a page: a first walk that tells how common they are, and a longer one. */
const COUNT_WALKS = [5_000, 30_000] as const;
/** Objects that an estimate looks at. */
const SAMPLE_ROWS = 10_000;
/** Matches that the index is asked for at once: enough for the default count and for most pages. */
const PROBE_ROWS = 1_000;

const BY_SEQ = `SELECT ${OBJECT_COLUMNS} FROM objects AS o WHERE o.project_id = $1 AND o.seq = ANY ($2::bigint[]) ORDER BY o.seq`;

/**
 * Pages of objects in time that is bounded by the page and the number of matches, not by the table. Left to itself the
 * planner walks the table in order whenever it takes a pair for common, which at 1 M objects lasts 600 ms when all matches
 * lie at the far end. So the walk is ours and short, and what it does not find the index has to.
 */
@Injectable()
export class ObjectListStore {
  constructor(
    private readonly database: Database,
    private readonly config: Config,
  ) {}

  /**
   * @param mayBeShort whether a page of large objects may end early, also where pages can be numbered
   * @throws Problem invalid-query for a page that is too large
   */
  async page(projectId: number, filter: Filter, page: PageRequest, mayBeShort?: boolean): Promise<ObjectPage> {
    const { slice, count } = await this.lightPage(projectId, filter, page);
    return { slice: boundedSlice(slice, page.position, this.config.limits.pageBytesMax, mayBeShort), count };
  }

  private async lightPage(projectId: number, filter: Filter, page: PageRequest): Promise<LightPage> {
    const list = listSql(projectId, filter);
    if (isOrderedByIndex(filter))
      return { slice: await this.slice(list, page), count: await this.count(projectId, filter, list, page) };
    const walked = await this.slice({ ...list, ...newestSql(projectId, filter, WALK_ROWS, page) }, page);
    // A walk that ran out says nothing of what lies beyond it.
    const isFull =
      walked.items.length === page.size && (page.position.kind === 'before' ? walked.hasPrevious : walked.hasNext);
    if (isFull) return { slice: walked, count: await this.countCommon(projectId, filter, list, page) };
    return this.indexed(projectId, filter, list, page);
  }

  /** Asks the index, once where that is enough: for the newest matches, of which the page is a part. */
  private async indexed(projectId: number, filter: Filter, list: ListSql, page: PageRequest): Promise<LightPage> {
    const sorted = unordered(list);
    // Only their numbers: to sort the whole rows of 50,000 matches takes a third longer.
    const newest = pageSql({ ...sorted, select: 'o.seq' }, { kind: 'offset', offset: 0 }, PROBE_ROWS);
    const found = (await this.database.query<{ seq: string }>(newest.text, newest.values)).map((row) => row.seq);
    const isAll = found.length <= PROBE_ROWS;
    const { countCap } = this.config.limits;
    const isCounted =
      (page.count === 'exact' && isAll) || (page.count === 'capped' && (isAll || countCap <= PROBE_ROWS));
    const count = isCounted
      ? cappedCount(found.length, page.count === 'exact' ? PROBE_ROWS : countCap)
      : await this.count(projectId, filter, list, page);
    const seqs = seqsOfPage(found, isAll, page);
    return { slice: seqs === null ? await this.slice(sorted, page) : await this.bySeq(projectId, seqs, page), count };
  }

  private async bySeq(projectId: number, seqs: string[], page: PageRequest): Promise<LightSlice> {
    const { items, ...sides } = toSlice(isAscending(page.position) ? seqs.reverse() : seqs, page.position, page.size);
    const rows = await this.database.query<WithoutData<ObjectRow>>(this.bySeqSql(page.position), [projectId, items]);
    // One that was deleted since is missing, which does not make this the last page.
    const found = new Map(rows.map((row) => [row.seq, row]));
    return { items: items.flatMap((seq) => found.get(seq) ?? []), ...sides };
  }

  private bySeqSql(place: PagePosition): Statement {
    const order = isAscending(place) ? 'ASC' : 'DESC';
    return {
      name: `object.by-seq-${order}`,
      text: boundedRowsSql(COLUMNS_WITHOUT_DATA, `${BY_SEQ} ${order}`, this.config.limits.pageBytesMax),
    };
  }

  private slice(list: ListSql, page: PageRequest): Promise<LightSlice> {
    const around = (rows: string): string =>
      boundedRowsSql(COLUMNS_WITHOUT_DATA, rows, this.config.limits.pageBytesMax);
    return readSlice<WithoutData<ObjectRow>>(this.database, { ...list, around }, page);
  }

  private count(projectId: number, filter: Filter, list: ListSql, page: PageRequest): Promise<Count> {
    if (page.count === 'estimated') return this.estimate(projectId, filter);
    return countRows(this.database, list, page.count, this.config.limits.countCap);
  }

  /**
   * From the share of matches among the project's newest objects. The planner's statistics would be cheaper, but they are
   * of the whole table: they would tell one project which values another one has.
   */
  private async estimate(projectId: number, filter: Filter): Promise<Count> {
    const { from, where, values } = newestSql(projectId, filter, SAMPLE_ROWS);
    const text = `
      SELECT count(*) FILTER (WHERE ${where}) AS matches, count(*) AS seen,
        (SELECT coalesce(sum(object_count), 0) FROM batches WHERE project_id = $1) AS total
      FROM ${from}`;
    const [row] = await this.database.query<{ matches: string; seen: string; total: string }>(text, values);
    const share = Number(row?.matches) / Math.max(Number(row?.seen), 1);
    return { count: Math.round(share * Number(row?.total)), count_is: 'estimated' };
  }

  /** Counts to the cap what the walk found to be common: by walking on while that promises to be enough. */
  private async countCommon(projectId: number, filter: Filter, list: ListSql, page: PageRequest): Promise<Count> {
    if (page.count !== 'capped') return this.count(projectId, filter, list, page);
    const cap = this.config.limits.countCap;
    const [short, long] = COUNT_WALKS;
    const seen = await this.countWithin(projectId, filter, short);
    if (seen > cap) return cappedCount(seen, cap);
    if ((seen * long) / short > cap) {
      const seenFarther = await this.countWithin(projectId, filter, long);
      if (seenFarther > cap) return cappedCount(seenFarther, cap);
    }
    return this.count(projectId, filter, list, page);
  }

  private async countWithin(projectId: number, filter: Filter, rows: number): Promise<number> {
    const { from, where, values } = newestSql(projectId, filter, rows);
    const limit = String(this.config.limits.countCap + 1);
    const text = `SELECT count(*) FROM (SELECT 1 FROM ${from} WHERE ${where} LIMIT ${limit}) AS found`;
    const [row] = await this.database.query<{ count: string }>(text, values);
    return Number(row?.count);
  }
}

/** True where a btree gives the matches in order: everything, or one batch whatever else is asked of it. */
function isOrderedByIndex(filter: Filter): boolean {
  return isEverything(filter) || (filter.kind === 'and' && filter.of.some((part) => part.kind === 'batch'));
}

function listSql(projectId: number, filter: Filter): ListSql {
  const values: unknown[] = [projectId];
  const where = `o.project_id = $1 AND ${filterSql(filter, OBJECT_FILTER_COLUMNS, values)}`;
  return { select: OBJECT_COLUMNS, from: 'objects AS o', where, seq: 'o.seq', values };
}

/** The same list ordered by an expression that no index has, so that the planner cannot walk one in the hope to stop early. */
function unordered(list: ListSql): ListSql {
  return { ...list, seq: `(${list.seq} + 0)` };
}

/** The filter over only so many objects, the first beyond the page's place or the newest of all. */
function newestSql(
  projectId: number,
  filter: Filter,
  rows: number,
  page?: PageRequest,
): Omit<ListSql, 'select' | 'seq'> {
  const values: unknown[] = [projectId];
  const beyond = page === undefined ? '' : keysetConditionSql(page.position, { seq: 'seq' }, values);
  const order = page !== undefined && isAscending(page.position) ? 'ASC' : 'DESC';
  const from = `(SELECT * FROM objects WHERE project_id = $1${beyond} ORDER BY seq ${order} LIMIT ${String(rows)}) AS o`;
  return { from, where: filterSql(filter, OBJECT_FILTER_COLUMNS, values), values };
}

/**
 * Which of the newest matches, newest first, are on the page, and one more where another page follows; null where some of
 * them may lie beyond what was found.
 */
function seqsOfPage(found: readonly string[], isAll: boolean, { position: place, size }: PageRequest): string[] | null {
  if (place.kind === 'offset') return enough(found.slice(place.offset, place.offset + size + 1), isAll, size);
  const at = BigInt(place.seq);
  if (!isAscending(place)) return enough(found.filter((seq) => BigInt(seq) < at).slice(0, size + 1), isAll, size);
  const oldest = found.at(-1);
  if (!isAll && (oldest === undefined || BigInt(oldest) > at)) return null;
  return found.filter((seq) => BigInt(seq) > at).slice(-(size + 1));
}

function enough(seqs: string[], isAll: boolean, size: number): string[] | null {
  return isAll || seqs.length > size ? seqs : null;
}

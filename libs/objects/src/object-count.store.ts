import { conjunctsOf, filterSql, isEverything, type Filter } from '#filter';
import type { IndexQuery } from '#inverted-index';
import { Config } from '#platform';
import type { PageRequest } from '#http';
import {
  Database,
  cappedCount,
  countOrMinimum,
  countRows,
  countShownBy,
  isLastPage,
  type Count,
  type Slice,
  type Queryable,
} from '#database';
import { Injectable } from '@nestjs/common';
import { type BatchEntity, OBJECT_FILTER_COLUMNS } from '#store';
import { OBJECT_COUNT } from '#usage';
import { ObjectIndexStore } from './object-index.store.js';
import { newestObjectsSql, objectListSql } from './object-list-sql.js';

/**
 * The newest objects that a count up to the cap scans before it uses the GIN index: a short scan that shows how common the
 * matches are, and a long one.
 */
const COUNT_SCANS = [5_000, 30_000] as const;
/** An estimate divides the objects into this many strata and samples this many objects of each: about 10 ms. */
const SAMPLE_STRATA = 200;
const SAMPLE_OBJECTS = 10;

/** A page whose objects are known, to be counted. */
export interface CountedPage {
  page: PageRequest;
  slice: Pick<Slice<unknown>, 'items' | 'hasNext' | 'hasPrevious'>;
  /** The newest objects alone filled the page. */
  areMatchesCommon?: boolean;
  /** The filter for the inverted index, where that found the page. */
  query?: IndexQuery | undefined;
  /** Matches that were found while the page was read, if there are more than it shows. */
  minimum?: number;
}

/** Counts the objects that a filter matches, in the mode that the page requests: capped, exact, estimated or none. */
@Injectable()
export class ObjectCountStore {
  constructor(
    private readonly database: Database,
    private readonly index: ObjectIndexStore,
    private readonly config: Config,
  ) {}

  /** The number of all objects of the project. */
  async countAll(projectId: number, on: Queryable = this.database): Promise<number> {
    const [row] = await on.query<{ objects: string }>(COUNT_OF_ALL, [projectId]);
    return Number(row?.objects);
  }

  /**
   * For one batch its `object_count`. Otherwise exact without a query where the page shows the number, because no page follows.
   * Otherwise by counting rows or by a sample. A lower bound where that takes too long.
   */
  count(projectId: number, filter: Filter, counted: CountedPage): Promise<Count> {
    const minimum = Math.max(countShownBy(counted.page.position, counted.slice), counted.minimum ?? 0);
    return countOrMinimum(this.countMatches(projectId, filter, counted), minimum);
  }

  private async countMatches(
    projectId: number,
    filter: Filter,
    { page, slice, query, areMatchesCommon = false }: CountedPage,
  ): Promise<Count> {
    const mode = page.count;
    const { countCap } = this.config.limits;
    if (mode === 'none') return { count: null };
    if (isEverything(filter)) return { count: await this.countAll(projectId, page.countOn), count_is: 'exact' };
    const batchId = onlyBatchOf(filter);
    if (batchId !== null) {
      return { count: await this.countOfBatch(projectId, batchId, page.countOn), count_is: 'exact' };
    }
    const shown = exactCountShownBy(page, slice);
    if (shown !== null) return cappedCount(shown, mode === 'capped' ? countCap : shown);
    const indexed = query && (await this.index.count(projectId, filter, query, mode, page.countOn));
    page.trace?.add('count', { by: indexed ? 'inverted_index' : 'statements' });
    if (indexed) return indexed;
    if (mode === 'estimated') return this.estimate(projectId, filter, { page, slice });
    if (mode === 'capped' && areMatchesCommon && (await this.isOverCap(projectId, filter, page.countOn))) {
      return { count: countCap, count_is: 'at_least' };
    }
    return countRows(page.countOn ?? this.database, objectListSql(projectId, filter), mode, countCap);
  }

  /** 0 for a batch that does not exist. */
  private async countOfBatch(projectId: number, batchId: string, on: Queryable = this.database): Promise<number> {
    const [row] = await on.query<Pick<BatchEntity, 'object_count'>>(COUNT_OF_BATCH, [projectId, batchId]);
    return Number(row?.object_count ?? 0);
  }

  /**
   * From a sample of the project's objects, or of those of the batch that the filter names. The planner's statistics would be
   * cheaper, but they cover all projects: they would show one project which values another one has.
   *
   * Few matches are counted, because the index finds them quickly and a sample misses them. An estimate is never less than the
   * number of matches that the page shows.
   */
  private async estimate(projectId: number, filter: Filter, { page, slice }: CountedPage): Promise<Count> {
    const { countCap } = this.config.limits;
    const estimate = await this.sample(projectId, filter, page.countOn);
    // The link to the other side of a cursor leads to one more.
    const linked = Number(page.position.kind !== 'offset' && !isLastPage(page.position));
    let atLeast = countShownBy(page.position, slice) + linked;
    if (estimate <= 2 * countCap) {
      const counted = await countRows(
        page.countOn ?? this.database,
        objectListSql(projectId, filter),
        'capped',
        countCap,
      );
      if (counted.count === null || counted.count_is === 'exact') return counted;
      atLeast = Math.max(atLeast, countCap + 1);
    }
    return { count: Math.max(estimate, atLeast), count_is: 'estimated' };
  }

  /** An unbiased estimate of the number of matches, the same each time for the same objects. */
  private async sample(projectId: number, filter: Filter, on: Queryable = this.database): Promise<number> {
    const values: unknown[] = [projectId, batchIdOf(filter)];
    const text = sampleSql(filterSql(filter, OBJECT_FILTER_COLUMNS, values));
    const [row] = await on.query<{ estimate: number | null }>(text, values);
    return Math.round(row?.estimate ?? 0);
  }

  /** Whether more than COUNT_CAP objects match, from a scan of the newest ones; false negatives are possible. */
  private async isOverCap(projectId: number, filter: Filter, on?: Queryable): Promise<boolean> {
    const { countCap } = this.config.limits;
    const [short, long] = COUNT_SCANS;
    const seen = await this.countNewest(projectId, filter, short, on);
    if (seen > countCap) return true;
    const isLikely = (seen * long) / short > countCap;
    return isLikely && (await this.countNewest(projectId, filter, long, on)) > countCap;
  }

  private async countNewest(
    projectId: number,
    filter: Filter,
    objects: number,
    on: Queryable = this.database,
  ): Promise<number> {
    const { from, where, values } = newestObjectsSql(projectId, filter, objects);
    const limit = String(this.config.limits.countCap + 1);
    const text = `SELECT count(*) FROM (SELECT 1 FROM ${from} WHERE ${where} LIMIT ${limit}) AS found`;
    const [row] = await on.query<{ count: string }>(text, values);
    return Number(row?.count);
  }
}

const COUNT_OF_ALL = { name: 'object.count-all', text: `SELECT ${OBJECT_COUNT} AS objects` };

const COUNT_OF_BATCH = {
  name: 'object.count-of-batch',
  text: 'SELECT object_count FROM batches WHERE project_id = $1 AND batch_id = $2',
};

/**
 * Stratified sampling. The objects are ordered by batch, the batches by a hash that does not depend on their content, and
 * divided into SAMPLE_STRATA strata of equal size. From each stratum one run of consecutive objects is read, whose share of
 * matches is the estimate for the stratum. A hash selects the start of the run, because systematic sampling would be biased for
 * periodic data.
 */
function sampleSql(matches: string): string {
  const strata = `${String(SAMPLE_STRATA)} / nullif(total, 0)`;
  return `
    WITH batch AS (
      SELECT batch_id, object_count::float8 AS count,
        (sum(object_count) OVER (ORDER BY hashtext(batch_id), batch_id))::float8 AS upto,
        (sum(object_count) OVER ())::float8 AS total
      FROM batches WHERE project_id = $1::int AND ($2::text IS NULL OR batch_id = $2::text)
    ),
    sampled AS (
      SELECT batch_id, total, (floor(upto * ${strata}) - floor((upto - count) * ${strata}))::int AS runs FROM batch
    )
    SELECT avg(found.share) * max(s.total) AS estimate
    FROM sampled AS s
    CROSS JOIN LATERAL (
      SELECT min(seq) AS first, max(seq) AS last FROM objects WHERE project_id = $1 AND batch_id = s.batch_id
    ) AS bounds
    CROSS JOIN generate_series(1, s.runs) AS run
    CROSS JOIN LATERAL (
      SELECT (run - 1 + (hashtextextended(s.batch_id, run) & 65535) / 65536.0) / s.runs AS fraction
    ) AS start
    CROSS JOIN LATERAL (
      SELECT count(*) FILTER (WHERE ${matches})::float8 / nullif(count(*), 0) AS share FROM (
        SELECT * FROM objects
        WHERE project_id = $1 AND batch_id = s.batch_id
          AND seq >= bounds.first + ((bounds.last - bounds.first) * start.fraction)::bigint
        ORDER BY seq LIMIT ${String(SAMPLE_OBJECTS)}
      ) AS o
    ) AS found
    WHERE s.runs > 0`;
}

/** The batch whose objects are the matches; null for any other filter. */
function onlyBatchOf(filter: Filter): string | null {
  const [part, ...others] = conjunctsOf(filter);
  return others.length === 0 && part?.kind === 'batch' ? part.batchId : null;
}

/** The batch that a filter names, possibly with other conditions; null for none. */
function batchIdOf(filter: Filter): string | null {
  return conjunctsOf(filter).find((part) => part.kind === 'batch')?.batchId ?? null;
}

/** The number of all matches where a page shows it: it has a number, and no page follows. */
function exactCountShownBy({ position }: PageRequest, { items, hasNext }: CountedPage['slice']): number | null {
  if (position.kind !== 'offset' || hasNext || (items.length === 0 && position.offset > 0)) return null;
  return position.offset + items.length;
}

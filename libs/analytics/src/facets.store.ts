import { conjunctsOf, filterSql, valuePaths, type Filter } from '#filter';
import { Database, type Queryable } from '#database';
import { isLongTextSql, type ValueCounts } from '#inverted-index';
import { OBJECT_FILTER_COLUMNS } from '#store';
import { Injectable } from '@nestjs/common';

/** The values that one statement returns. An array of an object may have millions of elements. */
const ROWS_MAX = 200_000;

/** JSON; null for an array or an object, empty for a text that the index does not have. */
const VALUE = `
  CASE jsonb_typeof(v.value) WHEN 'array' THEN NULL WHEN 'object' THEN NULL
    WHEN 'string' THEN CASE WHEN ${isLongTextSql("v.value #>> '{}'")} THEN '' ELSE v.value::text END
    ELSE v.value::text END`;

/** The objects of a statement: a subquery, with its parameters. */
interface Objects {
  sql: string;
  values: unknown[];
}

/** Reads the values of a key in objects that no index decides. */
@Injectable()
export class FacetsStore {
  constructor(private readonly database: Database) {}

  /** Adds those of these objects that a filter matches. */
  async addObjects(
    projectId: number,
    { key, filter }: { key: string; filter: Filter },
    seqs: readonly bigint[],
    counts: ValueCounts,
    on?: Queryable,
  ): Promise<void> {
    if (seqs.length === 0) return;
    const sql = `SELECT * FROM objects AS o WHERE o.project_id = $1 AND o.seq = ANY ($2::bigint[]) OFFSET 0`;
    await this.add({ sql, values: [projectId, seqs.map(String)] }, { key, filter }, counts, on);
  }

  /**
   * Adds the newest objects that a filter matches: of those of its batch and its subject at most `limit`.
   * @returns whether these are all of them
   */
  async addNewest(
    projectId: number,
    { key, filter }: { key: string; filter: Filter },
    limit: number,
    counts: ValueCounts,
    on: Queryable = this.database,
  ): Promise<boolean> {
    const values: unknown[] = [projectId];
    const of = conjunctsOf(filter).filter(({ kind }) => kind === 'batch' || kind === 'subject');
    const within = filterSql({ kind: 'and', of }, OBJECT_FILTER_COLUMNS, values);
    // An order that no index has, because a scan of all objects for a rare subject takes seconds.
    const order = of.some(({ kind }) => kind === 'subject') ? '(o.seq + 0)' : 'o.seq';
    const sql = `SELECT * FROM objects AS o WHERE o.project_id = $1 AND ${within} ORDER BY ${order} DESC`;
    await this.add({ sql: `${sql} LIMIT ${String(limit)}`, values: [...values] }, { key, filter }, counts, on);
    return (await on.query(`${sql} LIMIT 1 OFFSET ${String(limit)}`, values)).length === 0;
  }

  private async add(
    { sql, values }: Objects,
    { key, filter }: { key: string; filter: Filter },
    counts: ValueCounts,
    on: Queryable = this.database,
  ): Promise<void> {
    const paths = `$${String(values.push(valuePaths({ key, isLiteral: false })))}::jsonpath[]`;
    const matches = filterSql(filter, OBJECT_FILTER_COLUMNS, values);
    const text = `
      SELECT o.seq, ${VALUE} AS value
      FROM (${sql}) AS o, unnest(${paths}) AS p(path), jsonb_path_query(o.data, p.path) AS v(value)
      WHERE ${matches} LIMIT ${String(ROWS_MAX + 1)}`;
    const rows = await on.query<{ seq: string; value: string | null }>(text, values);
    if (rows.length > ROWS_MAX) counts.isComplete = false;
    const bySeq = new Map<string, Set<string | null>>();
    for (const { seq, value } of rows) {
      const known = bySeq.get(seq);
      if (known === undefined) bySeq.set(seq, new Set([value]));
      else known.add(value);
    }
    for (const own of bySeq.values()) if (!counts.addObject(own)) return;
  }
}

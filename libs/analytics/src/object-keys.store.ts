import { Database, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';

/** The use of a key in some objects. */
export interface KeyUse {
  key: string;
  objects: number;
  /** JSON types of its values, and of the elements of those that are arrays. */
  types: string[];
  /** JSON; null where each value is longer than `EXAMPLE_BYTES_MAX`. */
  example: string | null;
}

/** The longest example, in bytes of JSON. */
export const EXAMPLE_BYTES_MAX = 1_000;

const TYPES = `
  SELECT string_agg(DISTINCT jsonb_typeof(v.value), ',') AS types FROM (
    SELECT p.value UNION ALL SELECT jsonb_array_elements(p.value) WHERE jsonb_typeof(p.value) = 'array') AS v`;

const EXAMPLE = `CASE WHEN octet_length(p.value::text) <= ${String(EXAMPLE_BYTES_MAX)} THEN p.value::text END`;

/** The uses of keys in objects `o`: the most frequent keys first. */
function usesSql(objects: string): string {
  return `
    SELECT p.key, count(DISTINCT p.seq) AS objects, string_agg(DISTINCT t.types, ',') AS types,
      (array_agg(e.example ORDER BY p.seq DESC) FILTER (WHERE e.example IS NOT NULL))[1] AS example
    FROM (
      SELECT o.seq, pair ->> 'key' AS key, pair -> 'value' AS value
      FROM (${objects}) AS o, jsonb_array_elements(o.data) AS pair
    ) AS p, LATERAL (${TYPES}) AS t, LATERAL (SELECT ${EXAMPLE} AS example) AS e
    GROUP BY p.key ORDER BY objects DESC, p.key COLLATE "C" LIMIT $3`;
}

const USES_OF = {
  name: 'objects.key-uses-of',
  text: usesSql(`SELECT seq, data FROM objects WHERE project_id = $1 AND seq = ANY ($2::bigint[])`),
};

const NEWEST_USES = {
  name: 'objects.newest-key-uses',
  text: usesSql(`SELECT seq, data FROM objects WHERE project_id = $1 ORDER BY seq DESC LIMIT $2`),
};

const HAS_MORE = {
  name: 'objects.has-more',
  text: `SELECT 1 FROM objects WHERE project_id = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2`,
};

/** The types of the values of a key in an object, and one of them. */
const EXAMPLES = {
  name: 'objects.key-examples',
  text: `
    SELECT x.key, string_agg(DISTINCT t.types, ',') AS types, (array_agg(e.example) FILTER (WHERE e.example IS NOT NULL))[1] AS example
    FROM unnest($2::text[], $3::bigint[]) AS x(key, seq)
    JOIN objects AS o ON o.project_id = $1 AND o.seq = x.seq, LATERAL (
      SELECT pair -> 'value' AS value FROM jsonb_array_elements(o.data) AS pair WHERE pair ->> 'key' = x.key
    ) AS p, LATERAL (${TYPES}) AS t, LATERAL (SELECT ${EXAMPLE} AS example) AS e
    GROUP BY x.key`,
};

interface UseRow {
  key: string;
  objects?: string;
  types: string;
  example: string | null;
}

/** Reads which keys some objects have. */
@Injectable()
export class ObjectKeysStore {
  constructor(private readonly database: Database) {}

  /** The keys of these objects. */
  async usesOf(projectId: number, seqs: readonly bigint[], limit: number, on?: Queryable): Promise<KeyUse[]> {
    if (seqs.length === 0) return [];
    return this.read(USES_OF, [projectId, seqs.map(String), limit], on);
  }

  /** The keys of the newest objects, and whether these are all objects of the project. */
  async newestUses(
    projectId: number,
    objects: number,
    limit: number,
    on: Queryable = this.database,
  ): Promise<{ uses: KeyUse[]; isAll: boolean }> {
    const uses = await this.read(NEWEST_USES, [projectId, objects, limit], on);
    const more = await on.query(HAS_MORE, [projectId, objects]);
    return { uses, isAll: more.length === 0 };
  }

  /** The types and an example of each key, in objects that have it. */
  async examplesOf(
    projectId: number,
    objects: readonly { key: string; seq: bigint }[],
    on?: Queryable,
  ): Promise<Map<string, KeyUse>> {
    const columns = [objects.map(({ key }) => key), objects.map(({ seq }) => seq.toString())];
    const uses = await this.read(EXAMPLES, [projectId, ...columns], on);
    return new Map(uses.map((use) => [use.key, use]));
  }

  private async read(
    statement: { name: string; text: string },
    values: unknown[],
    on: Queryable = this.database,
  ): Promise<KeyUse[]> {
    const rows = await on.query<UseRow>(statement, values);
    return rows.map(({ objects = '0', types, ...row }) => ({
      ...row,
      objects: Number(objects),
      types: [...new Set(types.split(','))],
    }));
  }
}

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { cloneDatabase, type TestDatabase } from '../test/harness/database.js';
import { ENTITIES } from '../apps/entities.js';

/** The parts of an index definition for which TypeORM has no option. */
const BEYOND_TYPEORM: Readonly<Record<string, [described: string, actual: string]>> = {
  objects_data_idx: ['data)', 'data jsonb_path_ops)'],
  objects_subject_idx: ['seq)', 'seq) INCLUDE (measure)'],
};

/** Tables that only SQL text reads and writes; `migrations` is TypeORM's own. */
const WITHOUT_ENTITY = [
  'audit_chains',
  'change_feeds',
  'changes',
  'data_keys',
  'deleted_objects',
  'deletions',
  'idempotency_keys',
  'index_blocks',
  'index_builds',
  'index_outdated',
  'index_pending',
  'index_segments',
  'job_parts',
  'job_workers',
  'jobs',
  'migrations',
  'pending_changes',
  'rollup_marks',
  'rollups',
  'schema_compatibility',
  'sequence_lanes',
  'webhook_deliveries',
  'webhooks',
];

const TABLES = `
  SELECT relname AS line FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace`;

const COLUMNS = `
  SELECT concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attnotnull THEN 'not null' END, 'collate ' || nullif(c.collname, 'default'),
    CASE a.attgenerated WHEN '' THEN 'default ' || pg_get_expr(d.adbin, d.adrelid) END) AS line
  FROM pg_attribute AS a
  LEFT JOIN pg_collation AS c ON c.oid = a.attcollation
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped`;

const INDEXES = `
  SELECT pg_get_indexdef(indexrelid) || CASE WHEN indisprimary THEN ' as primary key' ELSE '' END AS line
  FROM pg_index WHERE indrelid = $1::regclass`;

const GENERATED = `
  SELECT attname AS line FROM pg_attribute WHERE attrelid = $1::regclass AND attgenerated <> '' AND NOT attisdropped`;

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase({ entities: ENTITIES });
});
afterAll(() => db.close());

const linesOf = async (sql: string, values: unknown[]): Promise<string[]> =>
  (await db.sql<{ line: string }>(sql, values)).map((row) => row.line).sort();

function typeOf({ type, isArray }: ColumnMetadata): string {
  const name = type === 'timestamptz' ? 'timestamp with time zone' : String(type);
  return isArray ? `${name}[]` : name;
}

function columnLine(column: ColumnMetadata): string {
  const { databaseName, isNullable, collation } = column;
  const parts = [databaseName, typeOf(column)];
  if (!isNullable) parts.push('not null');
  if (collation !== undefined) parts.push(`collate ${collation}`);
  if (column.default !== undefined) parts.push(`default ${JSON.stringify(column.default)}`);
  return parts.join(' ');
}

/** The indexes of an entity, in the format of PostgreSQL. */
function indexLines({ tableName, primaryColumns, uniques, indices, columns }: EntityMetadata): string[] {
  const columnOf = (property: string): string =>
    columns.find(({ propertyName }) => propertyName === property)?.databaseName ?? `no column ${property}`;
  const definition = (name: string, names: string[], unique: boolean, method = 'btree', where?: string): string =>
    `CREATE ${unique ? 'UNIQUE ' : ''}INDEX ${name} ON public.${tableName} USING ${method} (${names.join(', ')})` +
    (where === undefined ? '' : ` WHERE (${where})`);
  const keyNames = primaryColumns.map((column) => column.databaseName);
  const lines = [`${definition(primaryColumns[0]?.primaryKeyConstraintName ?? '', keyNames, true)} as primary key`];
  for (const unique of uniques) {
    const names = unique.columns.map((column) => column.databaseName);
    lines.push(definition(unique.name, names, true));
  }
  for (const { name, givenColumnNames, isUnique, type, where } of indices) {
    const names = (givenColumnNames as string[]).map(columnOf);
    const [described, actual] = BEYOND_TYPEORM[name] ?? ['', ''];
    lines.push(definition(name, names, isUnique, type, where).replace(described, actual));
  }
  return lines.sort();
}

it('every table has an entity, or is listed as a table without one', async () => {
  const described = ENTITIES.map((entity) => db.database.dataSource.getMetadata(entity).tableName);
  expect([...described, ...WITHOUT_ENTITY].sort()).toEqual(await linesOf(TABLES, []));
});

describe.each(ENTITIES.map((entity) => [entity.name, entity] as const))('%s', (_, entity) => {
  it('describes every column of its table: name, type, nullability, collation, default', async () => {
    const { tableName, columns } = db.database.dataSource.getMetadata(entity);
    expect(columns.map(columnLine).sort()).toEqual(await linesOf(COLUMNS, [tableName]));
  });

  it('describes every index of its table by name and definition, including the primary key', async () => {
    const metadata = db.database.dataSource.getMetadata(entity);
    expect(indexLines(metadata)).toEqual(await linesOf(INDEXES, [metadata.tableName]));
  });

  it('never writes a column that PostgreSQL generates', async () => {
    const { tableName, columns } = db.database.dataSource.getMetadata(entity);
    const generated = await linesOf(GENERATED, [tableName]);
    const written = columns.filter((column) => column.isInsert || column.isUpdate);
    expect(written.filter((column) => generated.includes(column.databaseName))).toEqual([]);
  });
});

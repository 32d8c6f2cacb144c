import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { countLockWaits } from '../../../test/harness/tables.js';
import { Config } from '#platform';
import { QuotaStore } from './quota.store.js';
import { USAGE_SHARDS } from './usage-sql.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());

function quotasWith(settings: Record<string, string> = {}): QuotaStore {
  return new QuotaStore(db.database, new Config(settings));
}

async function createProject(projectId: number, objectsMax: number | null): Promise<void> {
  await db.sql(`INSERT INTO projects (project_id, name, seq, objects_max) VALUES ($1::int, $1::text, $1, $2)`, [
    projectId,
    objectsMax,
  ]);
}

/** The objects that the rows of a project may still add together; null where none of its rows has a limit. */
async function free(projectId: number): Promise<number | null> {
  const [row] = await db.sql<{ free: string | null }>(
    `SELECT sum(objects_share - objects) AS free FROM project_usage WHERE project_id = $1`,
    [projectId],
  );
  return row?.free == null ? null : Number(row.free);
}

describe('a change of limits', () => {
  it('applies the limits of another change that it has waited for', async () => {
    await createProject(1, 10 * USAGE_SHARDS);
    await db.database.transaction((tx) => quotasWith().apply(tx, 1));
    let applying: Promise<void> | undefined;
    await db.transaction(async (tx) => {
      await tx.query(`UPDATE projects SET objects_max = $1 WHERE project_id = 1`, [20 * USAGE_SHARDS]);
      await quotasWith().apply(tx, 1);
      applying = db.database.transaction((other) => quotasWith().apply(other, 1));
      await untilOneWaits();
    });
    await applying;
    expect(await free(1)).toBe(20 * USAGE_SHARDS);
  });

  it('divides what is free among all rows, and nothing where the project is over its limit', async () => {
    await createProject(2, 100);
    await db.sql(`INSERT INTO project_usage (project_id, shard, objects, bytes) VALUES (2, 3, 36, 0), (2, 4, -1, 0)`);
    await db.database.transaction((tx) => quotasWith().apply(tx, 2));
    // 65 of 100 are free, which are 2 for each row.
    expect(await free(2)).toBe(2 * USAGE_SHARDS);
    await db.sql(`UPDATE projects SET objects_max = 5 WHERE project_id = 2`);
    await db.database.transaction((tx) => quotasWith().apply(tx, 2));
    expect(await free(2)).toBe(0);
  });

  it('removes the shares of a project without limits, and creates no rows for it', async () => {
    await createProject(3, null);
    await db.database.transaction((tx) => quotasWith().apply(tx, 3));
    expect(await db.sql(`SELECT FROM project_usage WHERE project_id = 3`)).toEqual([]);
    await db.sql(`UPDATE projects SET objects_max = NULL WHERE project_id = 2`);
    await db.database.transaction((tx) => quotasWith().apply(tx, 2));
    expect(await free(2)).toBeNull();
  });
});

describe('the limits of projects without their own', () => {
  it('are applied to hundreds of projects in a few transactions', async () => {
    await db.sql(
      `INSERT INTO projects (project_id, name, seq) SELECT n, n::text, n FROM generate_series(1001, 1450) AS n`,
    );
    await quotasWith({ PROJECT_OBJECTS_MAX: String(USAGE_SHARDS) }).applyDefaults();
    expect([await free(1_001), await free(1_450)]).toEqual([USAGE_SHARDS, USAGE_SHARDS]);
    const [row] = await db.sql<{ n: number }>(
      `SELECT count(DISTINCT xmin::text)::int AS n FROM project_usage WHERE project_id > 1000`,
    );
    expect(row?.n).toBeLessThan(5);
  });

  it('are applied to all other projects where one cannot be changed', async () => {
    await db.sql(
      `INSERT INTO projects (project_id, name, seq) SELECT n, n::text, n FROM generate_series(2001, 2003) AS n`,
    );
    await db.sql(`
      CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
      CREATE TRIGGER fails BEFORE INSERT ON project_usage FOR EACH ROW WHEN (new.project_id = 2002) EXECUTE FUNCTION fail()`);
    await quotasWith({ PROJECT_OBJECTS_MAX: String(USAGE_SHARDS) }).applyDefaults();
    expect([await free(2_001), await free(2_002), await free(2_003)]).toEqual([USAGE_SHARDS, null, USAGE_SHARDS]);
  });
});

/** Resolves when a statement in this database waits for a lock. */
async function untilOneWaits(): Promise<void> {
  while ((await countLockWaits(db)) === 0);
}

import { describe, expect, it } from '@jest/globals';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { migrationEffects } from './migration-plan.js';
import { blocksWrites } from './statement-effect.js';
import { MIGRATIONS, type SchemaMigration } from '#migrations';

/** What a migration does that servers would notice that run meanwhile; see CONTRIBUTING.md. */
async function violations(migration: SchemaMigration): Promise<string[]> {
  const effects = await migrationEffects(migration);
  const created = effects.filter(({ lock }) => lock === null).map(({ table }) => table);
  const others = effects.filter(({ table }) => !created.includes(table));
  const found: string[] = [];
  for (const effect of others) {
    const { command, work, breaks } = effect;
    if (work !== null && blocksWrites(effect)) found.push(`${command} ${work} the table while nobody can write to it`);
    if (work === 'changes' && !command.startsWith('INSERT'))
      found.push(`${command} changes rows; a maintenance task does it in steps`);
    if (breaks && migration.phase === 'expand') found.push(`${command} needs the phase contract`);
  }
  if (migration.transaction === false) {
    for (const { command, repeatable } of effects)
      if (!repeatable) found.push(`${command} cannot be repeated outside of a transaction`);
  } else if (effects.some(({ command }) => command.includes('CONCURRENTLY'))) {
    found.push('an index is built CONCURRENTLY in a transaction');
  }
  return found;
}

const PHASED = MIGRATIONS.map((each) => new each()).filter((each): each is SchemaMigration => 'phase' in each);
const NAMES = MIGRATIONS.map((each) => new each().name);

describe('each migration', () => {
  it.each(PHASED.map((migration) => [migration.name, migration] as const))(
    '%s lets servers of the version before it go on',
    async (_, migration) => {
      expect(await violations(migration)).toEqual([]);
    },
  );

  it('since the first with a phase has one, and a contraction names an earlier migration', () => {
    expect(PHASED.map(({ name }) => name)).toEqual(NAMES.slice(-PHASED.length));
    for (const [index, migration] of PHASED.entries()) {
      if (migration.phase === 'expand') continue;
      expect(NAMES.slice(0, NAMES.length - PHASED.length + index)).toContain(migration.compatibleSince);
    }
  });
});

/** A migration of one statement. */
function migrationOf(sql: string, more: Partial<MigrationInterface> = {}): SchemaMigration {
  return {
    name: 'Planted1',
    phase: 'expand',
    ...more,
    up: async (runner: QueryRunner) => {
      await runner.query(sql);
    },
    down: () => Promise.resolve(),
  };
}

describe('the rules', () => {
  it.each([
    ['an index that blocks writes', 'CREATE INDEX i ON objects (seq)', /reads the table while nobody can write/],
    [
      'a column that is written into every row',
      'ALTER TABLE objects ADD COLUMN a int GENERATED ALWAYS AS (1) STORED',
      /rewrites/,
    ],
    [
      'a column that earlier servers do not fill',
      'ALTER TABLE objects ADD COLUMN a int NOT NULL',
      /needs the phase contract/,
    ],
    ['a constraint that reads the table', 'ALTER TABLE objects ADD CONSTRAINT c CHECK (seq > 0)', /reads the table/],
    ['a column that earlier servers use', 'ALTER TABLE objects DROP COLUMN seq', /needs the phase contract/],
    ['a change of many rows', 'UPDATE objects SET seq = 1', /a maintenance task/],
    ['a concurrent index in a transaction', 'CREATE INDEX CONCURRENTLY i ON objects (seq)', /in a transaction/],
  ])('reject %s', async (_, sql, expected) => {
    expect((await violations(migrationOf(sql))).join('\n')).toMatch(expected);
  });

  it('reject a table outside of a transaction that a second run finds', async () => {
    const { length } = await violations(migrationOf('CREATE TABLE t (a int)', { transaction: false }));
    expect(length).toBe(1);
  });

  it.each(['CREATE TABLE t (a int); CREATE INDEX i ON t (a)', 'ALTER TABLE objects ADD COLUMN a int'])(
    'permit %s',
    async (sql) => {
      expect(await violations(migrationOf(sql))).toEqual([]);
    },
  );
});

import { describe, expect, it } from '@jest/globals';
import { blocksWrites, effectsOf } from './statement-effect.js';

const AE = 'ACCESS EXCLUSIVE';
const SUE = 'SHARE UPDATE EXCLUSIVE';

describe('the effect of a statement', () => {
  it.each([
    ['CREATE TABLE t (a int)', 'CREATE TABLE t', null, null, false],
    ['CREATE INDEX i ON t (a)', 'CREATE INDEX i ON t', 'SHARE', 'reads', false],
    ['CREATE UNIQUE INDEX i ON t (a)', 'CREATE INDEX i ON t', 'SHARE', 'reads', true],
    ['CREATE INDEX CONCURRENTLY i ON t (a)', 'CREATE INDEX CONCURRENTLY i ON t', SUE, 'reads', false],
    ['DROP INDEX i', 'DROP INDEX i', AE, null, false],
    ['DROP INDEX CONCURRENTLY i', 'DROP INDEX CONCURRENTLY i', SUE, null, false],
    ['DROP TABLE t', 'DROP TABLE t', AE, null, true],
    ['ALTER TABLE t RENAME a TO b', 'ALTER TABLE t RENAME', AE, null, true],
    ['ALTER TABLE t ADD COLUMN a int', 'ALTER TABLE t ADD COLUMN a', AE, null, false],
    ['ALTER TABLE t ADD COLUMN a int NOT NULL DEFAULT 0', 'ALTER TABLE t ADD COLUMN a', AE, null, false],
    ['ALTER TABLE t ADD COLUMN a int NOT NULL', 'ALTER TABLE t ADD COLUMN a', AE, null, true],
    ['ALTER TABLE t ADD COLUMN a timestamptz DEFAULT now()', 'ALTER TABLE t ADD COLUMN a', AE, 'rewrites', false],
    [
      'ALTER TABLE t ADD COLUMN a int GENERATED ALWAYS AS (b) STORED',
      'ALTER TABLE t ADD COLUMN a',
      AE,
      'rewrites',
      false,
    ],
    ['ALTER TABLE t DROP COLUMN a', 'ALTER TABLE t DROP COLUMN a', AE, null, true],
    ['ALTER TABLE t ALTER COLUMN a TYPE bigint', 'ALTER TABLE t ALTER COLUMN TYPE a', AE, 'rewrites', true],
    ['ALTER TABLE t ALTER COLUMN a SET NOT NULL', 'ALTER TABLE t SET NOT NULL a', AE, 'reads', true],
    ['ALTER TABLE t ALTER COLUMN a DROP NOT NULL', 'ALTER TABLE t DROP NOT NULL a', AE, null, false],
    ['ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)', 'ALTER TABLE t ADD CONSTRAINT c', AE, 'reads', true],
    ['ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID', 'ALTER TABLE t ADD CONSTRAINT c', AE, null, true],
    ['ALTER TABLE t VALIDATE CONSTRAINT c', 'ALTER TABLE t VALIDATE CONSTRAINT c', SUE, 'reads', false],
    ['ALTER TABLE t SET (fillfactor = 50)', 'ALTER TABLE t SET REL OPTIONS', SUE, null, false],
    ['UPDATE t SET a = 1', 'UPDATE t', 'ROW EXCLUSIVE', 'changes', false],
  ])('of %s', async (sql, command, lock, work, breaks) => {
    expect(await effectsOf(sql)).toMatchObject([
      { command, table: /^DROP INDEX/.test(command) ? 'i' : 't', lock, work, breaks },
    ]);
  });

  it('of a foreign key is a lock of both tables', async () => {
    const lock = 'SHARE ROW EXCLUSIVE';
    const added = await effectsOf('ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (a)');
    expect(added).toMatchObject([
      { table: 't', lock, work: 'reads' },
      { table: 'u', lock, work: null },
    ]);
    const created = await effectsOf('CREATE TABLE t (a int, CONSTRAINT f FOREIGN KEY (a) REFERENCES u (a))');
    expect(created).toMatchObject([
      { table: 't', lock: null },
      { table: 'u', lock },
    ]);
  });

  it('of several statements is that of each, and of SELECT and SET none', async () => {
    expect(await effectsOf(`SET lock_timeout = 0; SELECT 1; DROP TABLE t, u`)).toHaveLength(2);
  });

  it('of a statement that the plan does not know is an error', async () => {
    await expect(effectsOf('TRUNCATE t')).rejects.toThrow(/TruncateStmt is not known/);
  });

  it('blocks writes from SHARE on', async () => {
    const blocked = async (sql: string): Promise<boolean[]> => (await effectsOf(sql)).map(blocksWrites);
    expect(await blocked('CREATE INDEX i ON t (a)')).toEqual([true]);
    expect(await blocked('CREATE INDEX CONCURRENTLY i ON t (a)')).toEqual([false]);
    expect(await blocked('CREATE TABLE t (a int)')).toEqual([false]);
  });
});

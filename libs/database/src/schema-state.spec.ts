import { describe, expect, it } from '@jest/globals';
import { QUEUE_MIGRATION } from './queue-schema.js';
import {
  isUpToDate,
  pendingMigrations,
  requireNotTooNew,
  requireNotTooOld,
  type KnownMigration,
} from './schema-state.js';

const migration = (name: string): KnownMigration => ({ name, phase: 'expand', up: nothing, down: nothing });
const nothing = (): Promise<void> => Promise.resolve();

/** The migrations of a version. */
const KNOWN = [migration('A'), migration('B')];

function stateOf(
  executed: string[],
  since: Record<string, string | null> = {},
): Parameters<typeof requireNotTooNew>[0] {
  return { executed, compatibleSince: new Map(Object.entries(since)), queueMigration: QUEUE_MIGRATION };
}

describe('a schema with migrations of a newer version', () => {
  it('can be used while all of them only add', () => {
    expect(() => {
      requireNotTooNew(stateOf(['A', 'B', 'C', 'D'], { C: null, D: null }), KNOWN);
    }).not.toThrow();
  });

  it('can be used when one removes what this version does not use any more', () => {
    expect(() => {
      requireNotTooNew(stateOf(['A', 'B', 'C'], { C: 'B' }), KNOWN);
    }).not.toThrow();
  });

  it.each([
    ['removes what this version uses', { C: 'BB' }],
    ['is not described in the database', {}],
  ])('cannot be used when one %s, and the error names it in one line', (_, since) => {
    expect(() => {
      requireNotTooNew(stateOf(['A', 'B', 'C'], since), KNOWN);
    }).toThrow(
      /^the database has the migration C of a newer version of Stowage, with which this version cannot work; start the newer version$/,
    );
  });
});

describe('a schema for which nothing is to be done', () => {
  const DECLARED = { A: null, B: null };

  it('has all migrations of this version and says so, also beside those of a newer version that this one works with', () => {
    expect(isUpToDate(stateOf(['A', 'B'], DECLARED), KNOWN)).toBe(true);
    expect(isUpToDate(stateOf(['A', 'B', 'C'], { ...DECLARED, C: null, D: 'B' }), KNOWN)).toBe(true);
  });

  it.each([
    ['lacks a migration', stateOf(['A'], DECLARED)],
    ['does not say what a migration means for older versions', stateOf(['A', 'B'], { A: null })],
    ['lacks a migration of the job queue', { ...stateOf(['A', 'B'], DECLARED), queueMigration: QUEUE_MIGRATION - 1 }],
    ['is about to lose what this version uses', stateOf(['A', 'B'], { ...DECLARED, C: 'BB' })],
  ])('is not one that %s', (_, state) => {
    expect(isUpToDate(state, KNOWN)).toBe(false);
  });
});

describe('a schema of an older version', () => {
  it('lacks migrations, and the error says how many, which, and what to do', () => {
    expect(pendingMigrations(stateOf(['A']), KNOWN)).toEqual([KNOWN[1]]);
    expect(() => {
      requireNotTooOld(stateOf(['A']), KNOWN);
    }).toThrow(
      /^the database lacks 1 migration of this version of Stowage, from B on; run "stowage migrate" first, or set MIGRATE_ON_START=true$/,
    );
    expect(() => {
      requireNotTooOld(stateOf([]), KNOWN);
    }).toThrow(/lacks 2 migrations .* from A on/);
  });

  it('lacks none when all of this version have run, also with newer ones', () => {
    expect(() => {
      requireNotTooOld(stateOf(['A', 'B', 'C']), KNOWN);
    }).not.toThrow();
  });
});

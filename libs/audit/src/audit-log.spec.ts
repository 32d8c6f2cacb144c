import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { COMMAND_LINE, type Actor } from './actor.js';
import { ENTRY_COLUMNS } from './audit-entry.js';
import { AuditLog, boundedIds, type NewAuditEntry } from './audit-log.js';
import { AuditVerifier } from './audit-verifier.js';

const ACTOR: Actor = { keyId: '7', role: 'admin', name: 'Zoë', requestId: 'r-1', address: '192.0.2.7' };

let db: TestDatabase;
let verifier: AuditVerifier;
let project = 0;
const audit = new AuditLog();

beforeAll(async () => {
  db = await cloneDatabase();
  verifier = new AuditVerifier(db.database);
});
afterAll(() => db.close());
beforeEach(() => {
  project++;
});

function entry(id: string, fields: Partial<NewAuditEntry> = {}): NewAuditEntry {
  const target = { type: 'object', id } as const;
  return { projectId: project, actor: ACTOR, action: 'object.delete', target, details: { n: 1 }, ...fields };
}

function append(...entries: NewAuditEntry[]): Promise<void> {
  return db.database.transaction((tx) => audit.append(tx, ...entries));
}

async function entries(): Promise<{ number: string; target_id: string }[]> {
  return db.sql(`SELECT number, target_id FROM audit_entries WHERE project_id = $1 ORDER BY number`, [project]);
}

async function faults(known?: { number: bigint; hash: string }): Promise<string[]> {
  return (await verifier.verify(project, known)).faults;
}

describe('the audit log', () => {
  it('numbers the entries of each chain from 1, those of one statement in their order', async () => {
    await append(entry('a'));
    await append(entry('b'), entry('c'), entry('d'));
    await append();
    expect((await entries()).map(({ number, target_id }) => number + target_id)).toEqual(['1a', '2b', '3c', '4d']);
    expect(await verifier.verify(project)).toMatchObject({ head: { number: 4n }, faults: [] });
  });

  it('stores every member of an entry', async () => {
    await append(entry('ü"\\', { details: { ids: ['x'] } }), {
      projectId: project,
      actor: COMMAND_LINE,
      action: 'key.update',
    });
    const rows = await db.sql(`SELECT * FROM audit_entries WHERE project_id = $1 ORDER BY number`, [project]);
    expect(rows).toEqual([
      {
        project_id: project,
        number: '1',
        at: expect.any(String),
        actor_key_id: '7',
        actor_role: 'admin',
        actor_name: 'Zoë',
        action: 'object.delete',
        target_type: 'object',
        target_id: 'ü"\\',
        details: '{"ids":["x"]}',
        request_id: 'r-1',
        address: '192.0.2.7',
        hash: expect.any(Buffer),
      },
      expect.objectContaining({
        actor_key_id: null,
        actor_role: null,
        actor_name: 'command line',
        target_type: null,
        target_id: null,
        details: '{}',
        request_id: null,
        address: null,
      }),
    ]);
  });

  it('stores text that PostgreSQL cannot, with a replacement character', async () => {
    await append(entry('a\0b\ud800', { actor: { ...ACTOR, name: '\0' }, details: { name: '\0\ud800' } }));
    const [row] = await db.sql<{ target_id: string; details: string }>(
      `SELECT target_id, details FROM audit_entries WHERE project_id = $1`,
      [project],
    );
    expect([row?.target_id, JSON.parse(row?.details ?? '')]).toEqual(['a\ufffdb\ufffd', { name: '\0\ud800' }]);
    expect(await faults()).toEqual([]);
  });

  it('has no entry of a transaction that is rolled back', async () => {
    await append(entry('a'));
    const failing = db.database.transaction(async (tx) => {
      await audit.append(tx, entry('b'));
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    await append(entry('c'));
    expect((await entries()).map(({ number, target_id }) => number + target_id)).toEqual(['1a', '2c']);
    expect(await faults()).toEqual([]);
  });

  it('has times that never go back, also where the clock does', async () => {
    await append(entry('a'));
    await db.sql(`UPDATE audit_chains SET at = '2100-01-01' WHERE project_id = $1`, [project]);
    await append(entry('b'));
    const [, second] = await db.sql<{ at: string }>(
      `SELECT at FROM audit_entries WHERE project_id = $1 ORDER BY number`,
      [project],
    );
    expect(second?.at).toBe('2100-01-01T00:00:00Z');
  });

  it('stays valid with concurrent transactions of two chains that do not deadlock, whatever the order of their entries', async () => {
    const other = ++project;
    const count = 120;
    await Promise.all(
      Array.from({ length: count }, (_, n) => {
        const [own, others] = [entry(`o${String(n)}`), entry(`p${String(n)}`, { projectId: other - 1 })];
        // Some of them fail after they have taken the locks.
        const order = n % 3 === 0 ? [own, others] : n % 3 === 1 ? [others, own] : [own];
        return db.database
          .transaction(async (tx) => {
            await audit.append(tx, ...order);
            if (n % 10 === 9) throw new Error('rolled back');
          })
          .catch((error: unknown) => {
            expect((error as Error).message).toBe('rolled back');
          });
      }),
    );
    expect(await entries()).toHaveLength(count - count / 10);
    expect(await faults()).toEqual([]);
    project = other - 1;
    expect((await entries()).length).toBeGreaterThan(count / 2);
    expect(await faults()).toEqual([]);
    project = other;
  });

  it('computes the same hash in every time zone and date style', async () => {
    await db.database.transaction(async (tx) => {
      await tx.query(`SET LOCAL timezone = 'Asia/Kolkata'`);
      await tx.query(`SET LOCAL datestyle = 'German'`);
      await audit.append(tx, entry('a'));
    });
    expect(await faults()).toEqual([]);
  });
});

describe('the ids in an entry', () => {
  it('are the first 100', () => {
    const ids = Array.from({ length: 200 }, (_, n) => String(n));
    expect(boundedIds(ids)).toEqual(ids.slice(0, 100));
    expect(boundedIds(['a'])).toEqual(['a']);
    expect(boundedIds([])).toEqual([]);
  });

  it.each([
    ['of four bytes', '\u{1f4e6}', 2],
    ['that JSON escapes', '"', 4],
    ['of one byte', 'x', 7],
  ])('take at most 2 KiB with characters %s', (_, character, count) => {
    const ids = Array.from({ length: 100 }, () => character.repeat(255));
    expect(boundedIds(ids)).toHaveLength(count);
    expect(Buffer.byteLength(JSON.stringify(boundedIds(ids)))).toBeLessThan(2_100);
  });
});

describe('the tables of the audit log', () => {
  it('have an index for the entries of one key, and for those of one action', async () => {
    const fill = Array.from({ length: 20_000 }, (_, n) => entry(String(n)));
    await db.database.transaction((tx) => audit.append(tx, entry('first', { action: 'key.canary' }), ...fill));
    await db.sql('ANALYZE audit_entries');
    for (const [condition, index] of [
      ['actor_key_id = 5', 'audit_entries_actor_idx'],
      [`action = 'key.canary'`, 'audit_entries_action_idx'],
    ] as const) {
      const plan = await db.sql(
        `EXPLAIN SELECT * FROM audit_entries WHERE project_id = $1 AND ${condition} ORDER BY number DESC LIMIT 26`,
        [project],
      );
      expect(JSON.stringify(plan)).toContain(index);
    }
  });

  it('have room for the update of a head in its page, also with hundreds of projects', async () => {
    const first = project * 1_000;
    await db.sql(
      `INSERT INTO audit_chains SELECT n, 0, ''::bytea, '-infinity' FROM generate_series($1::int, $1::int + 499) AS n`,
      [first],
    );
    const [before, after] = await db.database.transaction(async (tx) => {
      // Of the connection: they may still include earlier transactions.
      const counters = async (): Promise<{ updated: number; hot: number }[]> =>
        tx.query(`
          SELECT pg_stat_get_xact_tuples_updated('audit_chains'::regclass)::int AS updated,
            pg_stat_get_xact_tuples_hot_updated('audit_chains'::regclass)::int AS hot`);
      const [before] = await counters();
      await audit.append(tx, ...Array.from({ length: 50 }, (_, n) => entry('a', { projectId: first + n * 10 })));
      const [after] = await counters();
      return [before, after];
    });
    const added = (name: 'updated' | 'hot'): number => (after?.[name] ?? 0) - (before?.[name] ?? 0);
    expect([added('updated'), added('hot')]).toEqual([50, 50]);
  });
});

describe('the verification', () => {
  const ids = ['a', 'b', 'c', 'd', 'e'];
  beforeEach(async () => {
    for (const id of ids) await append(entry(id));
  });

  const sql = (text: string): Promise<object[]> => db.sql(text, [project]);

  it('reports a change of any column of an entry, and nothing else', async () => {
    const changes: Record<string, string> = {
      at: `at + interval '1 microsecond'`,
      actor_key_id: '8',
      actor_role: `'operator'`,
      actor_name: `'Zoe'`,
      action: `'object.update'`,
      target_type: 'NULL',
      target_id: `'B'`,
      details: `'{"n":2}'`,
      request_id: `'r-2'`,
      address: 'NULL',
    };
    expect(Object.keys(changes).sort()).toEqual(
      ENTRY_COLUMNS.filter((column) => !['project_id', 'number', 'hash'].includes(column)).sort(),
    );
    for (const [column, value] of Object.entries(changes)) {
      const [row] = await db.sql(`SELECT ${column} AS value FROM audit_entries WHERE project_id = $1 AND number = 2`, [
        project,
      ]);
      await sql(`UPDATE audit_entries SET ${column} = ${value} WHERE project_id = $1 AND number = 2`);
      expect([column, await faults()]).toEqual([
        column,
        ['entry 2 does not match its hash: it, or the entry before it, was changed'],
      ]);
      await db.sql(`UPDATE audit_entries SET ${column} = $2 WHERE project_id = $1 AND number = 2`, [
        project,
        (row as { value: unknown }).value,
      ]);
    }
    expect(await faults()).toEqual([]);
  });

  it('reports an entry that was moved to another value of the columns beside it', async () => {
    await sql(
      `UPDATE audit_entries SET actor_name = 'Zo', action = 'ëobject.delete' WHERE project_id = $1 AND number = 3`,
    );
    expect(await faults()).toEqual([expect.stringContaining('entry 3 ')]);
  });

  it('reports removed entries: in the middle, at the start, at the end, and all of them', async () => {
    await sql(`DELETE FROM audit_entries WHERE project_id = $1 AND number IN (2, 3)`);
    expect(await faults()).toEqual(['entries 2 to 3 are missing']);
    await sql(`DELETE FROM audit_entries WHERE project_id = $1 AND number = 1`);
    expect(await faults()).toEqual(['entries 1 to 3 are missing']);
    await sql(`DELETE FROM audit_entries WHERE project_id = $1 AND number = 5`);
    expect(await faults()).toEqual(['entries 1 to 3 are missing', 'entry 5 is missing']);
    await sql(`DELETE FROM audit_entries WHERE project_id = $1`);
    expect(await faults()).toEqual(['entries 1 to 5 are missing']);
  });

  it('reports a removed entry whose successors were numbered again', async () => {
    await sql(`DELETE FROM audit_entries WHERE project_id = $1 AND number = 2`);
    for (const number of [3, 4, 5])
      await sql(`UPDATE audit_entries SET number = number - 1 WHERE project_id = $1 AND number = ${String(number)}`);
    await sql(`UPDATE audit_chains SET entries = 4 WHERE project_id = $1`);
    expect((await faults())[0]).toContain('entry 2 does not match its hash');
  });

  it('reports entries that changed places', async () => {
    await sql(`UPDATE audit_entries SET number = 100 WHERE project_id = $1 AND number = 2`);
    await sql(`UPDATE audit_entries SET number = 2 WHERE project_id = $1 AND number = 3`);
    await sql(`UPDATE audit_entries SET number = 3 WHERE project_id = $1 AND number = 100`);
    expect((await faults())[0]).toContain('entry 2 does not match its hash');
  });

  it('reports an entry that was added after the head, and one of a chain without a head', async () => {
    await sql(`
      INSERT INTO audit_entries SELECT project_id, 6, at, actor_key_id, actor_role, actor_name, action, target_type,
        target_id, details, request_id, address, hash FROM audit_entries WHERE project_id = $1 AND number = 5`);
    expect(await faults()).toEqual(['entry 6 is after the head of the chain, entry 5']);
    await sql(`DELETE FROM audit_chains WHERE project_id = $1`);
    expect(await faults()).toEqual(['entry 6 is after the head of the chain, entry 0']);
    expect(await verifier.listChains()).toContain(project);
  });

  it('reports the entries of another project in the chain', async () => {
    await sql(`DELETE FROM audit_entries WHERE project_id = $1 AND number = 1`);
    await sql(`
      INSERT INTO audit_entries SELECT $1::int, number, at, actor_key_id, actor_role, actor_name, action, target_type,
        target_id, details, request_id, address, hash FROM audit_entries WHERE project_id = $1::int - 1 AND number = 1`);
    expect((await faults())[0]).toContain('entry 1 does not match its hash');
  });

  it('detects with a head that was noted earlier that the whole chain was written again', async () => {
    const { head } = await verifier.verify(project);
    await append(entry('f'));
    expect(await faults(head)).toEqual([]);

    await sql(`DELETE FROM audit_entries WHERE project_id = $1`);
    await sql(`DELETE FROM audit_chains WHERE project_id = $1`);
    await append(entry('a'));
    expect(await faults()).toEqual([]);
    expect(await faults(head)).toEqual(['entry 5, the known head, is missing']);
    for (const id of ids) await append(entry(id));
    expect(await faults()).toEqual([]);
    expect(await faults(head)).toEqual([
      'entry 5 does not have the hash of the known head: the chain was written again',
    ]);
  });

  it('checks chains that are longer than one query reads', async () => {
    await db.database.transaction((tx) =>
      audit.append(tx, ...Array.from({ length: 25_000 }, (_, n) => entry(String(n)))),
    );
    expect(await verifier.verify(project)).toMatchObject({ head: { number: 25_005n }, faults: [] });
    await sql(`UPDATE audit_entries SET details = '' WHERE project_id = $1 AND number IN (10000, 10001, 20001)`);
    expect(await faults()).toEqual([
      expect.stringContaining('entry 10000 '),
      expect.stringContaining('entry 10001 '),
      expect.stringContaining('entry 20001 '),
    ]);
    await sql(`UPDATE audit_entries SET details = '' WHERE project_id = $1`);
    expect(await faults()).toHaveLength(100);
  });
});

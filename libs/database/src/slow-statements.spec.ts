import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Metrics, Telemetry } from '#telemetry';
import { pino } from 'pino';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { Database } from './database.js';
import { SlowStatements } from './slow-statements.js';
import type { Statement } from './queryable.js';

interface Line {
  statement: string;
  ms: number;
  text: string;
  plan?: string[];
}

const MARKER = 'a value of the client';

let db: TestDatabase;
beforeAll(async () => {
  db = await cloneDatabase();
  await db.sql('CREATE TABLE numbered AS SELECT n, n::text AS name FROM generate_series(1, 1000) AS n');
});
afterAll(() => db.close());

/** @returns a log of slow statements, and the lines that it has written */
function createSlow(slowMs = 10): {
  slow: SlowStatements;
  metrics: Metrics;
  lines: Line[];
  logged: () => Promise<Line>;
} {
  const lines: Line[] = [];
  let onLine: () => void = () => undefined;
  const write = (line: string): void => {
    lines.push(JSON.parse(line) as Line);
    onLine();
  };
  const metrics = new Metrics();
  const log = pino({}, { write });
  const slow = new SlowStatements({ slowMs, log, metrics, aside: (work) => db.database.aside(work) });
  const logged = (): Promise<Line> =>
    new Promise((resolve) => {
      onLine = () => {
        const line = lines.at(-1);
        if (line !== undefined) resolve(line);
      };
    });
  return { slow, metrics, lines, logged };
}

describe('a slow statement', () => {
  it('is logged with its plan, and without the values of its parameters', async () => {
    const { slow, logged } = createSlow();
    const line = logged();
    const statement = {
      name: 'numbers.find',
      text: 'SELECT n\n  FROM numbered WHERE name = $1 AND n > $2 ORDER BY n LIMIT 5',
    };
    slow.add(statement, [MARKER, 7], 12.3);
    expect(await line).toMatchObject({
      statement: 'numbers.find',
      ms: 12,
      text: 'SELECT n FROM numbered WHERE name = $1 AND n > $2 ORDER BY n LIMIT 5',
    });
    const { plan = [] } = await line;
    expect(plan[0]).toMatch(/^Limit \(rows \d+, cost [\d.]+\)$/);
    expect(plan.join('\n')).toContain('Seq Scan on numbered');
    expect(JSON.stringify(await line)).not.toContain(MARKER);
  });

  it('is not executed again', async () => {
    const { slow, logged } = createSlow();
    const line = logged();
    slow.add('DELETE FROM numbered WHERE n > $1', [0], 50);
    expect((await line).plan?.[0]).toMatch(/^ModifyTable on numbered/);
    expect(await db.sql('SELECT count(*)::int AS count FROM numbered')).toEqual([{ count: 1000 }]);
  });

  it('gets no plan where it is several statements, none of which is executed', async () => {
    const { slow, logged } = createSlow();
    const line = logged();
    slow.add('SELECT 1; DELETE FROM numbered', [], 50);
    expect((await line).plan).toBeUndefined();
    expect(await db.sql('SELECT count(*)::int AS count FROM numbered')).toEqual([{ count: 1000 }]);
  });

  it.each<[string, Statement | string, unknown[]]>([
    ['COMMIT', 'COMMIT', []],
    ['one with long values', 'SELECT $1::text', ['x'.repeat(200_000)]],
    ['one that fails', 'SELECT * FROM missing', []],
  ])('is logged without a plan: %s', async (_, statement, values) => {
    const { slow, logged } = createSlow();
    const line = logged();
    slow.add(statement, values, 50);
    expect(await line).toMatchObject({ ms: 50 });
    expect(await line).not.toHaveProperty('plan');
  });

  it('is logged once in a minute, and always counted; only the first of several gets a plan', async () => {
    const { slow, metrics, lines, logged } = createSlow();
    for (let n = 0; n < 5; n++) slow.add('SELECT 1', [], 50);
    expect((await logged()).plan).toBeDefined();
    const second = logged();
    slow.add('SELECT 2', [], 50);
    expect((await second).plan).toBeUndefined();
    expect(lines.map(({ text }) => text)).toEqual(['SELECT 1', 'SELECT 2']);
    expect(await metrics.text()).toContain('stowage_slow_statements_total 6');
  });

  it('gets no plan while another one is made, which may wait for a lock', async () => {
    const plans: ((rows: []) => void)[] = [];
    const log = pino({ level: 'silent' });
    const aside = (): Promise<never> => new Promise<[]>((resolve) => plans.push(resolve)) as never;
    const slow = new SlowStatements({ slowMs: 10, log, metrics: null, aside });
    const clock = jest.spyOn(performance, 'now');
    for (let n = 0; n < 5; n++) {
      clock.mockReturnValue(n * 60_000);
      slow.add(`SELECT ${String(n)}`, [], 50);
    }
    expect(plans).toHaveLength(1);
    plans[0]?.([]);
    await new Promise(setImmediate);
    slow.add('SELECT 5', [], 50);
    expect(plans).toHaveLength(2);
    clock.mockRestore();
  });

  it('is not one that waited long for a connection', async () => {
    const log = pino({ level: 'silent' });
    const [metrics, telemetry] = [new Metrics(), Telemetry.off()];
    const database = await Database.connect({
      at: db.address,
      poolMax: 4,
      entities: [],
      migrations: [],
      logger: { log: () => undefined, warn: () => undefined, error: () => undefined },
      telemetry: Object.assign(Object.create(telemetry) as Telemetry, { log, metrics }),
      slowStatementMs: 1_000,
    });
    const { max } = database.poolStates.shared;
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const busy = Array.from({ length: max }, () => database.transaction(() => released));
    const clock = jest.spyOn(performance, 'now').mockReturnValue(0);
    const waiting = database.query('SELECT 1');
    clock.mockReturnValue(60_000);
    release();
    await Promise.all([waiting, ...busy]);
    clock.mockRestore();
    expect(await metrics.text()).toContain('stowage_slow_statements_total 0');
    await database.close();
  });

  it('is none below the limit', async () => {
    const { slow, metrics, lines } = createSlow(100);
    slow.add('SELECT 1', [], 99);
    expect(await metrics.text()).toContain('stowage_slow_statements_total 0');
    expect(lines).toEqual([]);
  });
});

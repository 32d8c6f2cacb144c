import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { Database } from './database.js';
import { LaneLease } from './lane-lease.js';
import { SEQ_STEP, Sequence, SequenceUnavailableError } from './sequence.js';
import { StartupError } from '#platform';

const LOGGER = { log: () => undefined, warn: () => undefined, error: () => undefined };

interface LaneRow {
  lane: number;
  holder: string | null;
  is_leased: boolean;
  last_tick: string;
}

/** Simulates a process: a lease and a sequence with clocks that the test sets. */
interface Process {
  sequence: Sequence;
  lease: LaneLease;
  clock: { ms: number; monotonicMs: number };
}

let db: TestDatabase;
/** A second pool, like the pool of another process. */
let other: Database;
let leases: LaneLease[] = [];

beforeAll(async () => {
  db = await cloneDatabase();
  other = await Database.connect({ at: db.address, poolMax: 4, entities: [], migrations: [], logger: LOGGER });
});
beforeEach(() => db.sql(`UPDATE sequence_lanes SET holder = NULL, leased_until = now(), last_tick = 0`));
afterEach(async () => {
  await Promise.all(leases.map((lease) => lease.close()));
  leases = [];
});
afterAll(async () => {
  await other.close();
  await db.close();
});

async function start(database = db.database, clock = { ms: Date.now(), monotonicMs: 0 }): Promise<Process> {
  const sequence = new Sequence({ now: () => clock.ms, monotonicNow: () => clock.monotonicMs });
  const lease = await LaneLease.open(database, sequence, LOGGER);
  leases.push(lease);
  return { sequence, lease, clock };
}

async function rowOf(sequence: Sequence): Promise<LaneRow> {
  const [row] = await db.sql<LaneRow>(
    `SELECT lane, holder, leased_until > now() AS is_leased, last_tick FROM sequence_lanes WHERE lane = $1`,
    [laneOf(sequence)],
  );
  if (row === undefined) throw new Error('there is no such lane');
  return row;
}

function laneOf(sequence: Sequence): number {
  return Number(sequence.next() % BigInt(SEQ_STEP));
}

/** Leases every lane except this one. */
async function leaseAllExcept(lane: number): Promise<void> {
  await db.sql(`UPDATE sequence_lanes SET leased_until = 'infinity' WHERE lane <> $1`, [lane]);
}

async function expire(lane: number): Promise<void> {
  await db.sql(`UPDATE sequence_lanes SET leased_until = now() - interval '1 ms' WHERE lane = $1`, [lane]);
}

describe('a lane', () => {
  it('is leased by one process at a time', async () => {
    const all = await Promise.all(
      Array.from({ length: 40 }, (_, index) => start(index % 2 === 0 ? db.database : other)),
    );
    expect(new Set(all.map(({ sequence }) => laneOf(sequence))).size).toBe(40);
  });

  it('is the least recently used one', async () => {
    await db.sql(`UPDATE sequence_lanes SET leased_until = now() - interval '1 day' WHERE lane = 700`);
    expect(laneOf((await start()).sequence)).toBe(700);
  });

  it('is one whose numbers are not ahead of the clock, if such a lane is free', async () => {
    await db.sql(`UPDATE sequence_lanes SET last_tick = 2^52 WHERE lane <> 300`);
    const [first, second] = [await start(), await start()];
    expect(laneOf(first.sequence)).toBe(300);
    expect(second.sequence.next() >> 10n).toBe(2n ** 52n + 1n);
  });

  it('is free immediately when its process ends', async () => {
    const first = await start();
    const lane = laneOf(first.sequence);
    await leaseAllExcept(lane);
    await expect(start(other)).rejects.toThrow(StartupError);
    await first.lease.close();
    expect(laneOf((await start(other)).sequence)).toBe(lane);
  });

  it('causes a one-line error for the user when the lease fails', async () => {
    await db.sql('ALTER TABLE sequence_lanes RENAME TO sequence_lanes_away');
    try {
      await expect(start()).rejects.toThrow(StartupError);
      await expect(start()).rejects.toThrow(/^cannot lease a lane of sequence numbers: .*sequence_lanes.*$/);
    } finally {
      await db.sql('ALTER TABLE sequence_lanes_away RENAME TO sequence_lanes');
    }
  });

  it('causes a one-line error for the user when all lanes are leased', async () => {
    await leaseAllExcept(-1);
    await expect(start()).rejects.toThrow(/^1,024 processes use this database.*stop some of them$/);
  });
});

describe('numbers never repeat', () => {
  it('after a process whose numbers are ahead of the clock releases its lane', async () => {
    const clock = { ms: Date.now(), monotonicMs: 0 };
    const first = await start(db.database, clock);
    const lane = laneOf(first.sequence);
    const drawn = first.sequence.next(100_000);
    await leaseAllExcept(lane);
    await first.lease.close();
    const second = await start(other, { ...clock });
    expect(second.sequence.next()).toBe(drawn + 100_000n * BigInt(SEQ_STEP));
  });

  it('when the clock is set back between two holders', async () => {
    const first = await start();
    const lane = laneOf(first.sequence);
    const drawn = first.sequence.next();
    await leaseAllExcept(lane);
    await first.lease.close();
    const second = await start(other, { ms: first.clock.ms - 3_600_000, monotonicMs: 0 });
    expect(second.sequence.next()).toBe(drawn + BigInt(SEQ_STEP));
  });

  it('when a lane is taken from a process that was killed, or that still generates numbers', async () => {
    const first = await start();
    const lane = laneOf(first.sequence);
    await leaseAllExcept(lane);
    await expire(lane);
    const second = await start(other, { ...first.clock });
    const { last_tick: reserved } = await rowOf(second.sequence);
    // The first process does not know yet, but its range ends before the range of the second begins.
    const late = first.sequence.next(1_000) + 999n * BigInt(SEQ_STEP);
    expect(second.sequence.next()).toBeGreaterThan(late);
    first.clock.ms += 59_000;
    expect(first.sequence.next() >> 10n).toBeLessThan(second.sequence.next() >> 10n);
    expect(second.sequence.next() >> 10n).toBeLessThan(BigInt(reserved));
  });

  it('when four processes generate numbers concurrently', async () => {
    const script = `
      import { Database, LaneLease, Sequence } from '#database';
      const logger = { log() {}, warn() {}, error() {} };
      const at = ${JSON.stringify(db.address)};
      const database = await Database.connect({ at, poolMax: 3, entities: [], migrations: [], logger });
      const sequence = new Sequence();
      const lease = await LaneLease.open(database, sequence, logger);
      for (let i = 0; i < 2000; i++) console.log(String(sequence.next()));
      await lease.close();
      await database.close();`;
    const draw = async (): Promise<string[]> => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exit = once(child, 'exit');
      const numbers = [];
      for await (const line of createInterface(child.stdout)) numbers.push(line);
      expect(await exit).toEqual([0, null]);
      return numbers;
    };
    const numbers = (await Promise.all([draw(), draw(), draw(), draw()])).flat();
    expect([numbers.length, new Set(numbers).size]).toEqual([8_000, 8_000]);
    expect(await db.sql(`SELECT lane FROM sequence_lanes WHERE holder IS NOT NULL`)).toEqual([]);
  });
});

describe('a lease', () => {
  it('is extended by each renewal, like the range of numbers', async () => {
    const { sequence, lease, clock } = await start();
    const before = await rowOf(sequence);
    clock.ms += 55_000;
    clock.monotonicMs += 55_000;
    await expire(before.lane);
    await lease.renew();
    const after = await rowOf(sequence);
    expect(after).toMatchObject({ lane: before.lane, holder: before.holder, is_leased: true });
    expect(Number(after.last_tick) - Number(before.last_tick)).toBeGreaterThanOrEqual(55_000 * 4096);
    clock.ms += 58_000;
    clock.monotonicMs += 58_000;
    expect(laneOf(sequence)).toBe(before.lane);
  });

  it('that is not renewed in time stops the numbers until a renewal, which keeps the lane', async () => {
    const { sequence, lease, clock } = await start();
    const lane = laneOf(sequence);
    clock.ms += 59_000;
    clock.monotonicMs += 59_000;
    expect(() => sequence.next()).toThrow(SequenceUnavailableError);
    await lease.renew();
    expect(laneOf(sequence)).toBe(lane);
  });

  it('whose lane another process has taken is replaced by the lease of another lane', async () => {
    const first = await start();
    const lane = laneOf(first.sequence);
    const drawn = first.sequence.next();
    await db.sql(`UPDATE sequence_lanes SET holder = gen_random_uuid() WHERE lane = $1`, [lane]);
    await first.lease.renew();
    const next = first.sequence.next();
    expect(Number(next % BigInt(SEQ_STEP))).not.toBe(lane);
    expect(next).toBeGreaterThan(drawn);
  });

  it('cannot be replaced while every lane is leased, which is reported as an error', async () => {
    const first = await start();
    const lane = laneOf(first.sequence);
    await leaseAllExcept(-1);
    await db.sql(`UPDATE sequence_lanes SET holder = gen_random_uuid() WHERE lane = $1`, [lane]);
    await expect(first.lease.renew()).rejects.toThrow('every lane of sequence numbers is leased');
    expect(() => first.sequence.next()).toThrow(SequenceUnavailableError);
    await expire(lane);
    await first.lease.renew();
    expect(laneOf(first.sequence)).toBe(lane);
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { Chance } from './chance.js';
import { Ledger, type Tally } from './ledger.js';
import { killPostgres } from './postgres-processes.js';
import { Stack, stop } from './stack.js';
import { SHELF } from './writes.js';

const VICTIMS = ['server', 'worker', 'postgres'] as const;
type Victim = (typeof VICTIMS)[number];

/** How long the producers are at work before a kill, in milliseconds. */
const BEFORE_MS = { min: 50, max: 1_200 };
/** How long they go on after it. */
const AFTER_MS = 300;
/** Then all is looked at, and emptied, so that neither the disk nor the memory of what was sent fills up. */
const ROUNDS_PER_SETTLEMENT = 5;

export interface KillRun {
  rounds: number;
  seed: number;
  /** Does not wait until a dead worker and a dead server's claims are noticed, but moves their clocks. */
  isHurried: boolean;
  say: (line: string) => void;
}

/** In each round kills the server, the worker and PostgreSQL, in any order, at random moments, under five producers. */
export async function killAtRandom({
  rounds,
  seed,
  isHurried,
  say,
}: KillRun): Promise<{ faults: string[]; tally: Tally }> {
  const chance = new Chance(seed);
  const stack = await Stack.make({ WORKER: 'separate' });
  const ledger = new Ledger(stack);
  try {
    await stack.serve();
    await stack.work();
    await makeShelf(stack);
    for (let round = 1; round <= rounds; round++) {
      const victims = shuffled(VICTIMS, chance);
      for (const victim of victims) {
        const told = await killOne(stack, ledger, victim, chance);
        say(`round ${String(round)}: ${told}`);
      }
      if (round % ROUNDS_PER_SETTLEMENT !== 0 && round !== rounds) continue;
      if (isHurried) await stack.moveClocks();
      await ledger.settle();
      say(`after round ${String(round)}: ${JSON.stringify(ledger.tally)}, ${String(ledger.faults.length)} faults`);
      if (round === rounds) break;
      await stack.sql('TRUNCATE batches, objects');
      await makeShelf(stack);
    }
    return { faults: ledger.faults, tally: ledger.tally };
  } finally {
    await stack.close();
  }
}

/** @returns what was done, in a few words */
async function killOne(stack: Stack, ledger: Ledger, victim: Victim, chance: Chance): Promise<string> {
  const enough = new AbortController();
  const producing = ledger.produce(enough.signal, victim === 'server');
  const afterMs = chance.between(BEFORE_MS.min, BEFORE_MS.max);
  await sleep(afterMs);
  const how = await kill(stack, victim, chance);
  await sleep(AFTER_MS);
  if (victim !== 'server') await stack.checkAlive();
  enough.abort();
  const start = performance.now();
  if (victim === 'server') {
    await producing;
    // Who runs the jobs may change with each start: both at once is allowed as well.
    await stack.serve({ WORKER: chance.pick(['inline', 'separate']) });
  }
  if (victim === 'worker') await stack.work();
  await stack.ready();
  const tookMs = performance.now() - start + AFTER_MS;
  await producing;
  await stack.checkAlive();
  await ledger.checkWholeness();
  return `killed ${how} after ${afterMs.toFixed(0)} ms, all was ready again ${tookMs.toFixed(0)} ms later`;
}

async function kill(stack: Stack, victim: Victim, chance: Chance): Promise<string> {
  if (victim === 'postgres') {
    const what = chance.pick(['all', 'postmaster', 'backend']);
    await killPostgres(stack.postgresDir, what);
    return `PostgreSQL (${what})`;
  }
  const running = stack[victim];
  if (running !== undefined) await stop(running, 'SIGKILL');
  return `the ${victim}`;
}

async function makeShelf(stack: Stack): Promise<void> {
  const body = JSON.stringify({ batch_id: SHELF, objects: [] });
  const { status, text } = await stack.call('/batches', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body,
  });
  if (status !== 201) throw new Error(`the batch of the objects was answered ${String(status)}: ${text}`);
}

function shuffled<T>(list: readonly T[], chance: Chance): T[] {
  return list
    .map((one) => ({ one, place: chance.between(0, 1) }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one);
}

import { setTimeout as sleep } from 'node:timers/promises';
import { SeededRandom } from './seeded-random.js';
import { Ledger, type Tally } from './ledger.js';
import { killPostgres } from './postgres-processes.js';
import { Stack, stopProcess } from './stack.js';
import { SHARED_BATCH } from './writes.js';

const TARGETS = ['server', 'worker', 'postgres'] as const;
type Target = (typeof TARGETS)[number];

/** Time from the start of the producers to a kill, in milliseconds. */
const BEFORE_MS = { min: 50, max: 1_200 };
/** Time that the producers continue after a kill, in milliseconds. */
const AFTER_MS = 300;
/** After this number of rounds all writes are verified and the tables emptied, to limit disk and memory use. */
const ROUNDS_PER_CHECK = 5;

/** The background work on the index locks them in this order. */
const CHECKED_TABLES = [
  ...['index_builds', 'index_pending', 'index_segments', 'index_outdated', 'index_blocks'],
  ...['objects', 'batches', 'project_usage'],
];

export interface KillRun {
  rounds: number;
  seed: number;
  /** Advances the timestamps of killed workers and servers, instead of waiting until their leases expire. */
  advancesClocks: boolean;
  print: (line: string) => void;
}

/** In each round kills the server, the worker and PostgreSQL once, in random order, at random times, while five producers write. */
export async function killAtRandom({
  rounds,
  seed,
  advancesClocks,
  print,
}: KillRun): Promise<{ faults: string[]; tally: Tally }> {
  const random = new SeededRandom(seed);
  const stack = await Stack.create({ WORKER: 'separate' });
  const ledger = new Ledger(stack, advancesClocks);
  try {
    await stack.startServer();
    await stack.startWorker();
    await createSharedBatch(stack);
    for (let round = 1; round <= rounds; round++) {
      const targets = shuffled(TARGETS, random);
      for (const target of targets) {
        const summary = await killOne(stack, ledger, target, random);
        print(`round ${String(round)}: ${summary}`);
      }
      if (round % ROUNDS_PER_CHECK !== 0 && round !== rounds) continue;
      await ledger.verify();
      print(`after round ${String(round)}: ${JSON.stringify(ledger.tally)}, ${String(ledger.faults.length)} faults`);
      if (round === rounds) break;
      await stack.sql(`TRUNCATE ${CHECKED_TABLES.join()}`);
      await createSharedBatch(stack);
    }
    return { faults: ledger.faults, tally: ledger.tally };
  } finally {
    await stack.close();
  }
}

/** @returns a summary for the output */
async function killOne(stack: Stack, ledger: Ledger, target: Target, random: SeededRandom): Promise<string> {
  const stopProducers = new AbortController();
  const producing = ledger.produce(stopProducers.signal, target === 'server');
  const afterMs = random.between(BEFORE_MS.min, BEFORE_MS.max);
  await sleep(afterMs);
  const killed = await kill(stack, target, random);
  await sleep(AFTER_MS);
  if (target !== 'server') await stack.checkAlive();
  stopProducers.abort();
  const start = performance.now();
  if (target === 'server') {
    await producing;
    // With 'inline' the server runs jobs as well as the worker.
    await stack.startServer({ WORKER: random.pick(['inline', 'separate']) });
  }
  if (target === 'worker') await stack.startWorker();
  await stack.waitUntilReady();
  const tookMs = performance.now() - start + AFTER_MS;
  await producing;
  await stack.checkAlive();
  await ledger.checkNoPartialBatches();
  return `killed ${killed} after ${afterMs.toFixed(0)} ms; ready again ${tookMs.toFixed(0)} ms later`;
}

async function kill(stack: Stack, target: Target, random: SeededRandom): Promise<string> {
  if (target === 'postgres') {
    const processes = random.pick(['all', 'postmaster', 'backend']);
    await killPostgres(stack.postgresDir, processes);
    return `PostgreSQL (${processes})`;
  }
  const running = stack[target];
  if (running !== undefined) await stopProcess(running, 'SIGKILL');
  return `the ${target}`;
}

async function createSharedBatch(stack: Stack): Promise<void> {
  const body = JSON.stringify({ batch_id: SHARED_BATCH, objects: [] });
  const { status, text } = await stack.call('/batches', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body,
  });
  if (status !== 201) throw new Error(`creating the shared batch returned ${String(status)}: ${text}`);
}

function shuffled<T>(list: readonly T[], random: SeededRandom): T[] {
  return list
    .map((one) => ({ one, place: random.between(0, 1) }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one);
}

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SeededRandom } from './seeded-random.js';
import { Ledger, type Tally } from './ledger.js';
import { Disk } from './disk.js';
import { killPostgres, signalPostgres } from './postgres-processes.js';
import { Stack, stopProcess } from './stack.js';
import { SHARED_BATCH } from './writes.js';

/**
 * SIGKILL of the server, the worker or processes of PostgreSQL; processes of PostgreSQL that are suspended for some time; the clocks of
 * the server and the worker set back by an hour, or forward again; a full disk.
 */
type Fault = 'server' | 'worker' | 'postgres' | 'pause' | 'clock' | 'disk';

/** Time from the start of the producers to a fault, in milliseconds. */
const BEFORE_MS = { min: 50, max: 1_200 };
/** Time that the producers continue after a fault, in milliseconds. */
const AFTER_MS = 300;
/** How long PostgreSQL is suspended, in milliseconds. */
const PAUSE_MS = { min: 200, max: 2_000 };
/** How long the disk is full, in milliseconds: its free space is checked every two seconds. */
const FULL_MS = 2_500;
/** The clock of a process that is started with this option moves with SIGUSR2. */
const MOVABLE_CLOCK = { NODE_OPTIONS: `--import=${join(import.meta.dirname, 'movable-clock.mjs')}` };
/** After this number of rounds all writes are verified and the tables emptied, to limit disk and memory use. */
const ROUNDS_PER_CHECK = 5;

/** The background work on the index locks them in this order. */
const CHECKED_TABLES = [
  ...['index_builds', 'index_pending', 'index_segments', 'index_outdated', 'index_blocks'],
  ...['objects', 'batches', 'project_usage'],
];

export interface FaultRun {
  rounds: number;
  seed: number;
  /** Whether the disk is full once in each round, which takes some seconds. */
  fillsDisk: boolean;
  /** Advances the timestamps of killed workers and servers, instead of waiting until their leases expire. */
  advancesClocks: boolean;
  print: (line: string) => void;
}

/** In each round causes every fault once, in random order, at random times, while a producer of each kind writes. */
export async function causeFaults({
  rounds,
  seed,
  fillsDisk,
  advancesClocks,
  print,
}: FaultRun): Promise<{ violations: string[]; tally: Tally }> {
  const random = new SeededRandom(seed);
  const stack = await Stack.create({ WORKER: 'separate', ...MOVABLE_CLOCK });
  const disk = await Disk.create(stack);
  const ledger = new Ledger(stack, advancesClocks);
  const faults: Fault[] = ['server', 'worker', 'postgres', 'pause', 'clock', ...(fillsDisk ? ['disk' as const] : [])];
  try {
    await stack.startServer();
    await stack.startWorker();
    await createSharedBatch(stack);
    for (let round = 1; round <= rounds; round++) {
      for (const fault of shuffled(faults, random)) {
        const summary = await causeOne(stack, disk, ledger, fault, random);
        print(`round ${String(round)}: ${summary}`);
      }
      if (round % ROUNDS_PER_CHECK !== 0 && round !== rounds) continue;
      await ledger.verify();
      print(
        `after round ${String(round)}: ${JSON.stringify(ledger.tally)}, ${String(ledger.faults.length)} violations`,
      );
      if (round === rounds) break;
      await stack.sql(`TRUNCATE ${CHECKED_TABLES.join()}`);
      await createSharedBatch(stack);
    }
    return { violations: ledger.faults, tally: ledger.tally };
  } catch (error) {
    throw new Error(`the run broke off with ${String(ledger.faults.length)} violations\n${stack.state()}`, {
      cause: error,
    });
  } finally {
    await stack.close();
  }
}

/** @returns a summary for the output */
async function causeOne(stack: Stack, disk: Disk, ledger: Ledger, fault: Fault, random: SeededRandom): Promise<string> {
  const stopProducers = new AbortController();
  const producing = ledger.produce(stopProducers.signal, fault === 'server');
  const afterMs = random.between(BEFORE_MS.min, BEFORE_MS.max);
  await sleep(afterMs);
  const caused = await cause(stack, disk, fault, random);
  await sleep(AFTER_MS);
  if (fault !== 'server') await stack.checkAlive();
  stopProducers.abort();
  const start = performance.now();
  if (fault === 'server') {
    await producing;
    // With 'inline' the server runs jobs as well as the worker.
    await stack.startServer({ WORKER: random.pick(['inline', 'separate']) });
  }
  if (fault === 'worker') await stack.startWorker();
  await stack.waitUntilReady();
  const tookMs = performance.now() - start + AFTER_MS;
  await producing;
  await stack.checkAlive();
  await ledger.checkNoPartialBatches();
  return `${caused} after ${afterMs.toFixed(0)} ms; ready again ${tookMs.toFixed(0)} ms later`;
}

async function cause(stack: Stack, disk: Disk, fault: Fault, random: SeededRandom): Promise<string> {
  switch (fault) {
    case 'postgres': {
      const processes = random.pick(['all', 'postmaster', 'backend']);
      await killPostgres(stack.postgresDir, processes);
      return `killed PostgreSQL (${processes})`;
    }
    case 'pause': {
      const pauseMs = random.between(PAUSE_MS.min, PAUSE_MS.max);
      await signalPostgres(stack.postgresDir, 'SIGSTOP');
      await sleep(pauseMs);
      await signalPostgres(stack.postgresDir, 'SIGCONT');
      return `suspended PostgreSQL for ${pauseMs.toFixed(0)} ms`;
    }
    case 'clock':
      for (const running of [stack.server, stack.worker]) running?.child.kill('SIGUSR2');
      return 'set the clocks';
    case 'disk':
      await disk.fill();
      await sleep(FULL_MS);
      await disk.free();
      return 'filled the disk';
    default: {
      const running = stack[fault];
      if (running !== undefined) await stopProcess(running, 'SIGKILL');
      return `killed the ${fault}`;
    }
  }
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

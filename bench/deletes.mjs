import { Agent } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { send } from './send.mjs';
import { percentile, startStack } from './stack.mjs';

const BATCH = 10_000;
const FILTERED = 5_000;
const SINGLES = 1_000;
const CONNECTIONS = 8;
const TURNS = 6;
const COLORS = ['red', 'blue', 'purple', 'gold', 'white', 'black'];

/**
 * What it costs to keep deleted objects, on two servers of its own, with and without UNDELETE_HOURS, in turns: deletes of a batch, of the
 * objects that a filter matches, and of single objects over several connections; and what a restore of the batch takes.
 */
export async function benchDeletes({ folder }) {
  const without = await startStack(join(folder, 'without-undelete'), { UNDELETE_HOURS: '0' });
  const keeping = await startStack(join(folder, 'with-undelete'), { UNDELETE_HOURS: '24' });
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  try {
    const times = new Map(
      [without, keeping].map((stack) => [stack, { batch: [], filter: [], singles: [], restore: [] }]),
    );
    for (let turn = 0; turn <= TURNS; turn++) {
      for (const [stack, { batch, filter, singles, restore }] of times) {
        const call = (method, path, body) => send(stack, method, path, body && 'application/json', body, { agent });
        const timed = async (list, work) => {
          await waitForIndex(stack);
          const startMs = performance.now();
          await work();
          // The first turn warms up.
          if (turn > 0) list.push(performance.now() - startMs);
        };
        await call('POST', '/batches', batchOf(`batch-${turn}`, BATCH));
        await timed(batch, () => call('DELETE', `/batches/batch-${turn}?cascade=true`));
        if (stack === keeping) await timed(restore, () => call('POST', `/batches/batch-${turn}/restore`));
        await call('POST', '/batches', batchOf(`filter-${turn}`, FILTERED));
        const path = `/objects?key=batch&value=filter-${turn}&max_affected=${FILTERED}`;
        await timed(filter, () => call('DELETE', path));
        await call('POST', '/batches', batchOf(`single-${turn}`, SINGLES));
        const paths = Array.from({ length: SINGLES }, (_, n) => `/objects/single-${turn}-${n}`);
        const deleteNext = async () => {
          for (let next = paths.pop(); next !== undefined; next = paths.pop()) await call('DELETE', next);
        };
        await timed(singles, () => Promise.all(Array.from({ length: CONNECTIONS }, deleteNext)));
      }
    }
    print(times.get(without), times.get(keeping));
  } finally {
    agent.destroy();
    await keeping.stop();
    await without.stop();
  }
}

function print(without, keeping) {
  const median = (list) => percentile(list, 0.5);
  const ms = (what, name) => {
    const [off, on] = [median(without[name]), median(keeping[name])];
    console.log(
      `${what}: ${on.toFixed(0)} ms, without UNDELETE_HOURS ${off.toFixed(0)} ms: ratio ${(on / off).toFixed(2)}`,
    );
  };
  ms(`delete of a batch of ${BATCH} objects`, 'batch');
  ms(`delete of ${FILTERED} objects by a filter`, 'filter');
  const rate = ({ singles }) => SINGLES / (median(singles) / 1000);
  console.log(
    `deletes of single objects over ${CONNECTIONS} connections: ${rate(keeping).toFixed(0)} a second, ` +
      `without UNDELETE_HOURS ${rate(without).toFixed(0)}: ratio ${(rate(keeping) / rate(without)).toFixed(2)}`,
  );
  const restore = median(keeping.restore);
  const times = (restore / median(keeping.batch)).toFixed(2);
  console.log(`restore of a batch of ${BATCH} objects: ${restore.toFixed(0)} ms: ${times} times the delete`);
}

/** As after a while: a delete right after the batch would also pay for the index that is being built. */
async function waitForIndex({ sql }) {
  const pending = async () => (await sql.query('SELECT FROM index_pending LIMIT 1')).rows.length > 0;
  while (await pending()) await sleep(50);
}

/** Objects of six pairs. */
function batchOf(batchId, count) {
  const objects = Array.from({ length: count }, (_, n) => ({
    object_id: `${batchId}-${n}`,
    data: {
      batch: batchId,
      type: 'shoe',
      color: COLORS[n % 6],
      country: `C${n % 97}`,
      size: n % 50,
      price: (n % 1_000) / 8,
    },
  }));
  return Buffer.from(JSON.stringify({ batch_id: batchId, objects }));
}

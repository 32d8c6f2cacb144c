import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { send } from './send.mjs';

const CONNECTIONS = 16;
const SECONDS = 2;
const ROUNDS = 2;

/** POST of single objects over 16 connections, one batch per connection: stored at once, alternating with accepted as jobs. */
export async function benchAsync(stack) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const prefix = Math.random().toString(36).slice(2);
  for (let i = 0; i < CONNECTIONS; i++) {
    const body = Buffer.from(JSON.stringify({ batch_id: `${prefix}-${i}`, objects: [] }));
    await send(stack, 'POST', '/batches', 'application/json', body, { agent });
  }
  let sent = 0;
  const run = async (headers) => {
    let count = 0;
    const until = performance.now() + SECONDS * 1000;
    await Promise.all(
      Array.from({ length: CONNECTIONS }, async (_, i) => {
        while (performance.now() < until) {
          const object = {
            batch_id: `${prefix}-${i}`,
            object_id: `${prefix}-${sent++}`,
            data: { type: 'shoe', size: 42 },
          };
          await send(stack, 'POST', '/objects', 'application/json', Buffer.from(JSON.stringify(object)), {
            agent,
            headers,
          });
          count++;
        }
      }),
    );
    return count / SECONDS;
  };
  await run({});
  const [sync, async] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    sync.push(await run({}));
    async.push(await run({ Prefer: 'respond-async' }));
    await waitForJobs(stack);
  }
  agent.destroy();
  const [s, a] = [Math.max(...sync), Math.max(...async)];
  console.log(
    `POST of one object, ${CONNECTIONS} connections: ${Math.round(s)} requests/s, accepted as jobs ${Math.round(a)}: ratio ${(a / s).toFixed(2)}`,
  );
}

/** Waits until the worker has run all jobs. */
async function waitForJobs(stack) {
  for (let i = 0; i < 600; i++) {
    const { rows } = await stack.sql.query(`SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')`);
    if (rows[0].count === '0') return;
    await sleep(100);
  }
  throw new Error('the jobs did not end within a minute');
}

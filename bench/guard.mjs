import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { send } from './send.mjs';
import { percentile } from './stack.mjs';

const KEYS = 100_000;
const USED_KEYS = 10_000;
const REQUESTS = 5_000;
/** For the first uses; what is measured runs one request after the other. */
const CONNECTIONS = 16;

/** What authentication adds to a request in the steady state, with 100,000 keys in the table: one key, and 10,000 in turns. */
export async function benchGuard(stack) {
  const child = spawn(process.execPath, [fileURLToPath(new URL('guard-server.mjs', import.meta.url))], {
    env: {
      ...process.env,
      GUARD: JSON.stringify({ dataDir: join(stack.folder, 'data'), projectId: stack.projectId, keys: KEYS }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [url] = await once(createInterface(child.stdout), 'line');
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const get = (path, key) => send({ url, adminKey: key }, 'GET', path, undefined, undefined, { agent });

  /** Guarded and open requests in turns. @returns the times of both in microseconds */
  const measure = async (requests, keyOf) => {
    const [guarded, open] = [[], []];
    await get('/times', '-');
    for (let i = 0; i < requests; i++) {
      for (const [path, list] of [
        ['/api/v1/guarded', guarded],
        ['/api/v1/open', open],
      ]) {
        const start = performance.now();
        await get(path, keyOf(i));
        list.push((performance.now() - start) * 1_000);
      }
    }
    const added = percentile(guarded, 0.5) - percentile(open, 0.5);
    return { added, open: percentile(open, 0.5), ...(await times(requests, keyOf)) };
  };
  /** The times of the guard alone, as the server measures them. */
  const times = async (requests, keyOf) => {
    await get('/times', '-');
    for (let i = 0; i < requests; i++) await get('/api/v1/guarded', keyOf(i));
    return JSON.parse(await get('/times', '-'));
  };

  const name = (number) => `bench-key-of-more-than-32-characters-${1 + number}`;
  // The first use of a key looks it up and records the use.
  let used = 0;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      while (used < USED_KEYS) await get('/api/v1/guarded', name(used++));
    }),
  );
  for (const [what, keyOf] of [
    ['one key', () => name(0)],
    [`${USED_KEYS} keys in turns`, (i) => name((i * 7) % USED_KEYS)],
  ]) {
    const { p50, p99, added, open } = await measure(REQUESTS, keyOf);
    console.log(
      `guard, ${what} of ${KEYS}: p50 ${p50.toFixed(0)} µs in the server (p99 ${p99.toFixed(0)}); ` +
        `over HTTP p50 ${added.toFixed(0)} µs more than the ${open.toFixed(0)} of a route without a key`,
    );
  }
  agent.destroy();
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
  await stack.sql.query('DELETE FROM api_keys WHERE key_id <= $1', [KEYS]);
}

import { Agent } from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';
import { makeBatch } from './data.mjs';
import { send } from './send.mjs';

/** Posts prepared batches in a separate thread: building them in the main thread would disturb its measurements. */
const { stack, clients, batch, count } = workerData;
const bodies = Array.from({ length: count }, () => Buffer.from(makeBatch(batch).text));
const agent = new Agent({ keepAlive: true, maxSockets: clients });
let isRunning = true;
parentPort.once('message', () => (isRunning = false));
parentPort.postMessage('ready');
const start = performance.now();
let posted = 0;
await Promise.all(
  Array.from({ length: clients }, async () => {
    for (let body = bodies.pop(); isRunning && body !== undefined; body = bodies.pop()) {
      await send(stack, 'POST', '/batches', 'application/json', body, { agent });
      posted += batch;
    }
  }),
);
agent.destroy();
parentPort.postMessage({ posted, seconds: (performance.now() - start) / 1000, ranOut: isRunning });

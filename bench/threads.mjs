import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { makeBatch } from './data.mjs';
import { rowsOf } from './thread-rows.mjs';

const BATCH = 5_000;
const BATCHES = 60;
const ROUNDS = 3;
const COLUMNS = 'project_id, batch_id, object_id, seq, subject, observed_at, data, bytes';

/**
 * What worker threads would change (docs/decisions/020): the bodies of batches are scanned, parsed, validated and converted to rows
 * for COPY by the code of the product, on the main thread or in 1, 2 and 4 threads; alone, and while the rows are copied into a
 * table like `objects` over four connections.
 */
export async function benchThreads(stack) {
  await stack.sql.query('CREATE TABLE threaded (LIKE objects INCLUDING ALL)');
  const connections = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const client = new pg.Client(stack.address);
      await client.connect();
      return client;
    }),
  );
  for (const [what, use] of [
    ['rows made', () => Promise.resolve()],
    ['rows copied', (rows, lane) => copy(connections[lane], rows)],
  ]) {
    const rates = new Map();
    for (let round = 0; round < ROUNDS; round++) {
      for (const threads of [0, 1, 2, 4]) {
        const rate = await measure(threads, use);
        rates.set(threads, Math.max(rates.get(threads) ?? 0, rate));
      }
    }
    const main = rates.get(0);
    const figures = [...rates].map(
      ([threads, rate]) =>
        `${threads === 0 ? 'main thread' : `${threads} thread(s)`} ${Math.round(rate).toLocaleString('en')}/s (${(rate / main).toFixed(2)})`,
    );
    console.log(`${what}: ${figures.join(', ')}`);
  }
  await Promise.all(connections.map((connection) => connection.end()));
  await stack.sql.query('DROP TABLE threaded');
}

/** @returns objects per second */
async function measure(threads, use) {
  const workers = Array.from({ length: threads }, () => new Worker(new URL('thread-rows.mjs', import.meta.url)));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const bodies = Array.from({ length: BATCHES }, () => makeBatch(BATCH)).map(({ batchId, text }) => ({
    batchId,
    body: new Uint8Array(Buffer.from(text)),
  }));
  const start = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: 4 }, async (_, lane) => {
      while (next < bodies.length) {
        const index = next++;
        const { batchId, body } = bodies[index];
        const worker = workers[lane % Math.max(threads, 1)];
        const rows = worker === undefined ? await rowsOf(batchId, body) : await askWorker(worker, batchId, body);
        await use(rows, lane);
      }
    }),
  );
  const seconds = (performance.now() - start) / 1_000;
  await Promise.all(workers.map((worker) => worker.terminate()));
  return (BATCHES * BATCH) / seconds;
}

let asked = 0;
function askWorker(worker, batchId, body) {
  const id = asked++;
  return new Promise((resolve) => {
    const onMessage = (answer) => {
      if (answer.id !== id) return;
      worker.off('message', onMessage);
      resolve(answer.rows);
    };
    worker.on('message', onMessage);
    worker.postMessage({ id, batchId, body }, [body.buffer]);
  });
}

/** @param rows a buffer for each chunk of the batch */
async function copy(connection, rows) {
  const stream = connection.query(
    copyFrom(`COPY threaded (${COLUMNS}) FROM STDIN (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')`),
  );
  const ended = once(stream, 'finish');
  for (const chunk of rows) if (!stream.write(chunk)) await once(stream, 'drain');
  stream.end();
  await ended;
}

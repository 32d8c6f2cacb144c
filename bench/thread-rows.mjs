/** The rows of a batch for COPY, made by the code of the product; also the worker of threads.mjs. */
import 'reflect-metadata';
import { setImmediate } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { objectRows } from '../dist/libs/batches/src/copy-rows.js';
import { JsonBatchInput } from '../dist/libs/batches/src/json-batch-input.js';
import { findList, JsonBody, ValidationErrors } from '../dist/libs/http/src/index.js';

const LIMIT = { max: 100_000, name: 'BATCH_OBJECTS_MAX', plural: 'objects' };
/** Of each thread, so that no two have a number in common. */
let seq = BigInt(Math.floor(Math.random() * 2 ** 40)) << 22n;

/** @returns a buffer for each chunk */
export async function rowsOf(batchId, body) {
  const list = await findList(new JsonBody(Buffer.from(body.buffer), Infinity), 'objects', LIMIT);
  const rows = [];
  for (const { objects } of new JsonBatchInput(list, new ValidationErrors()).chunks()) {
    rows.push(Buffer.from(objectRows(1, batchId, seq, objects).rows));
    seq += BigInt(objects.length) << 10n;
    // As the product does between two chunks.
    if (parentPort === null) await setImmediate();
  }
  return rows;
}

if (parentPort !== null) {
  parentPort.on('message', async ({ id, batchId, body }) => {
    const rows = (await rowsOf(batchId, body)).map((chunk) => new Uint8Array(chunk));
    parentPort.postMessage(
      { id, rows },
      rows.map(({ buffer }) => buffer),
    );
  });
  parentPort.postMessage('ready');
}

import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { makeBatch } from './data.mjs';
import { send } from './send.mjs';
import { percentile, residentBytes } from './stack.mjs';

const BATCH = 5_000;
const TURNS = Number(process.env.BENCH_TURNS ?? 10);
const STREAMS = [200_000, 1_000_000].map((size) => Math.round((size * Number(process.env.BENCH_OBJECTS ?? 1e6)) / 1e6));
const COPY = 'COPY copied (project_id, batch_id, object_id, seq, subject, observed_at, data, bytes) FROM STDIN';

const agent = new Agent({ keepAlive: true, maxSockets: 16 });
let seq = (BigInt(Date.now()) - 1_704_067_200_000n) << 22n;

/** Writes over HTTP, alternating with `COPY` of equal rows into a table like `objects` on as many connections. */
export async function benchCopy(stack) {
  await stack.sql.query('CREATE TABLE copied (LIKE objects INCLUDING ALL)');
  for (const clients of [1, 4]) await benchBatches(stack, clients);
  for (const size of STREAMS) await benchStream(stack, size);
  await stack.sql.query('DROP TABLE copied');
  agent.destroy();
}

async function benchBatches(stack, clients) {
  const connections = await Promise.all(Array.from({ length: clients }, () => connect(stack)));
  const http = [];
  const copy = [];
  for (let turn = 0; turn < TURNS + 2; turn++) {
    const batches = Array.from({ length: clients }, () => [makeBatch(BATCH), makeBatch(BATCH)]);
    http.push(
      await timed(() =>
        Promise.all(
          batches.map(async (own) => {
            for (const { text } of own)
              await send(stack, 'POST', '/batches', 'application/json', Buffer.from(text), { agent });
          }),
        ),
      ),
    );
    const rows = batches.map((own) =>
      own.map(({ batchId, text }) => Buffer.from(rowsOf(stack, batchId, JSON.parse(text).objects))),
    );
    copy.push(
      await timed(() =>
        Promise.all(
          rows.map(async (own, index) => {
            for (const text of own)
              await pipeline(Readable.from(slices(text)), connections[index].query(copyFrom(COPY)));
          }),
        ),
      ),
    );
  }
  await Promise.all(connections.map((connection) => connection.end()));
  const [h, c] = [http, copy].map((times) => percentile(times.slice(2), 0.5));
  const rate = (ms) => Math.round((clients * 2 * BATCH) / (ms / 1000)).toLocaleString('en');
  console.log(
    `POST of ${BATCH}-object batches, ${clients} client(s): ${rate(h)} objects/s, COPY ${rate(c)}: ratio ${(c / h).toFixed(2)}`,
  );
}

async function benchStream(stack, size) {
  const lines = join(stack.folder, 'lines');
  const rows = join(stack.folder, 'rows');
  await writeFiles(stack, size, lines, rows);
  const connection = await connect(stack);
  const copy = await timed(() => pipeline(createReadStream(rows), connection.query(copyFrom(COPY))));
  await connection.end();
  const memory = [];
  const sampler = setInterval(async () => memory.push(await residentBytes(stack.serverPid)), 100);
  const body = createReadStream(lines);
  const length = (await stat(lines)).size;
  const http = await timed(() =>
    send(stack, 'PUT', `/batches/stream-${size}`, 'application/x-ndjson', body, { agent, length }),
  );
  clearInterval(sampler);
  const rate = (ms) => Math.round(size / (ms / 1000)).toLocaleString('en');
  console.log(
    `NDJSON stream of ${size.toLocaleString('en')} objects: ${rate(http)} objects/s, COPY ${rate(copy)}: ratio ${(copy / http).toFixed(2)}; ` +
      `server memory at most ${(Math.max(...memory) / 2 ** 20).toFixed(0)} MB`,
  );
}

async function writeFiles(stack, size, linesFile, rowsFile) {
  const lines = createWriteStream(linesFile);
  const rows = createWriteStream(rowsFile);
  for (let written = 0; written < size; written += BATCH) {
    const { batchId, text } = makeBatch(Math.min(BATCH, size - written));
    const { objects } = JSON.parse(text);
    const full = [
      lines.write(objects.map((object) => `${JSON.stringify(object)}\n`).join('')),
      rows.write(rowsOf(stack, batchId, objects)),
    ];
    if (full.includes(false)) await sleep(1);
  }
  await Promise.all([lines, rows].map((file) => new Promise((resolve) => file.end(resolve))));
}

function rowsOf(stack, batchId, objects) {
  return objects
    .map(({ object_id, data }) => {
      seq += 1024n;
      const json = JSON.stringify(data).replaceAll('\\', '\\\\');
      return `${stack.projectId}\t${batchId}\t${object_id}\t${seq}\t\\N\t2026-11-21T09:00:00.123Z\t${json}\t${json.length}\n`;
    })
    .join('');
}

function* slices(buffer) {
  for (let i = 0; i < buffer.length; i += 65_536) yield buffer.subarray(i, i + 65_536);
}

async function connect(stack) {
  const client = new pg.Client(stack.address);
  await client.connect();
  return client;
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

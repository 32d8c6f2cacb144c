import { Agent, request } from 'node:http';
import pg from 'pg';
import { makeBatch } from './data.mjs';
import { percentile, residentBytes } from './stack.mjs';

const BATCH = 5_000;
/** Numbers of clients and turns. Each turn stores four batches per client: 1,000,000 objects in total, with the warm-up. */
const ROUNDS = [
  [1, 14],
  [4, 4],
  [16, 1],
];
const SCALE = Number(process.env.BENCH_OBJECTS ?? 1_000_000) / 1_000_000;

/** A set-based insert as in the product, without HTTP, validation or the row of the batch. */
const PLAIN = `
  INSERT INTO objects (project_id, batch_id, object_id, seq, subject, observed_at, data, bytes)
  SELECT $1, $2, o.object_id, $3::bigint + o.place * 1024, o.subject, coalesce(o.observed_at, now()), o.data, 200
  FROM ROWS FROM (jsonb_to_recordset($4::jsonb -> 'objects') AS (object_id text, subject text, observed_at timestamptz, data jsonb))
    WITH ORDINALITY AS o (object_id, subject, observed_at, data, place)`;
const PLAIN_BATCH =
  'INSERT INTO batches (project_id, batch_id, seq, object_count, revision) VALUES ($1, $2, $3, $4, $3)';

/** Fills the table, alternating between HTTP and plain SQL, with 1, 4 and 16 clients. */
export async function benchIngest(stack) {
  for (let i = 0; i < 2; i++) await overHttp(stack, 4, []);
  const idle = await residentBytes(stack.serverPid);
  const byClients = [];
  for (const [clients, turns] of ROUNDS) {
    const http = [];
    const plain = [];
    const memory = [];
    for (let turn = 0; turn < Math.max(1, turns * SCALE); turn++) {
      http.push(await overHttp(stack, clients, memory));
      plain.push(await plainSql(stack, clients));
    }
    const [h, p] = [percentile(http, 0.5), percentile(plain, 0.5)];
    const perObject = Math.max(0, Math.max(...memory) - idle) / (clients * BATCH);
    byClients.push(
      `POST of ${BATCH}-object batches, ${clients} client(s): ${rate(clients, h)} objects/s, plain SQL ${rate(clients, p)}: ratio ${(p / h).toFixed(2)}; ` +
        `resident memory ${(perObject / 1024).toFixed(2)} KB per object in flight, above ${(idle / 2 ** 20).toFixed(0)} MB idle`,
    );
  }
  for (const line of byClients) console.log(line);
  await stack.sql.query(`SELECT gin_clean_pending_list('objects_data_idx')`);
  await stack.sql.query('VACUUM ANALYZE objects');
  await stack.sql.query('VACUUM ANALYZE batches');
}

function rate(clients, ms) {
  return Math.round((clients * 2 * BATCH) / (ms / 1000)).toLocaleString('en');
}

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

/** Posts two batches per client. @returns the total time in milliseconds */
async function overHttp(stack, clients, memory) {
  const batches = Array.from({ length: clients }, () => [makeBatch(BATCH), makeBatch(BATCH)]);
  const sampler = setInterval(async () => memory.push(await residentBytes(stack.serverPid)), 20);
  const start = performance.now();
  await Promise.all(
    batches.map(async (own) => {
      for (const batch of own) await post(stack, batch.text);
    }),
  );
  const ms = performance.now() - start;
  clearInterval(sampler);
  return ms;
}

function post(stack, text) {
  return new Promise((resolve, reject) => {
    const headers = {
      'X-Api-Key': stack.adminKey,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(text),
    };
    const call = request(`${stack.url}/batches`, { method: 'POST', headers, agent }, (response) => {
      response
        .resume()
        .on('end', () =>
          response.statusCode === 201 ? resolve() : reject(new Error(`returned ${response.statusCode}`)),
        );
    });
    call.on('error', reject).end(text);
  });
}

const connections = [];
let seq = (BigInt(Date.now()) - 1_704_067_200_000n) << 22n;

async function plainSql(stack, clients) {
  while (connections.length < clients) {
    const client = new pg.Client(stack.address);
    await client.connect();
    connections.push(client);
  }
  const batches = Array.from({ length: clients }, () => [makeBatch(BATCH), makeBatch(BATCH)]);
  const start = performance.now();
  await Promise.all(
    batches.map(async (own, index) => {
      for (const batch of own) {
        seq += BigInt(BATCH * 1024);
        await connections[index].query(PLAIN, [stack.projectId, batch.batchId, seq.toString(), batch.text]);
      }
    }),
  );
  const ms = performance.now() - start;
  for (const own of batches) {
    for (const batch of own)
      await stack.sql.query(PLAIN_BATCH, [stack.projectId, batch.batchId, (seq += 1024n).toString(), BATCH]);
  }
  return ms;
}

export async function closeConnections() {
  for (const client of connections.splice(0)) await client.end();
  agent.destroy();
}

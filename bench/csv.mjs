import { Agent } from 'node:http';
import { send } from './send.mjs';
import { percentile, residentBytes } from './stack.mjs';

const SIZE = Math.round((200_000 * Number(process.env.BENCH_OBJECTS ?? 1e6)) / 1e6);
const TURNS = Number(process.env.BENCH_TURNS ?? 5);
const TYPES = ['shoe', 'card', 'boot', 'hat', 'bag'];
const COLORS = ['red', 'blue', 'purple', 'gold', 'white', 'black'];
const FORMATS = {
  NDJSON: { type: 'application/x-ndjson', query: '', head: '', lineOf: jsonLine },
  CSV: { type: 'text/csv', query: '?id=id', head: 'id,type,color,country,size,price,note\n', lineOf: csvLine },
};

const agent = new Agent({ keepAlive: true });

/** Streams the same objects as NDJSON and as CSV, in turns. */
export async function benchCsv(stack) {
  const times = { NDJSON: [], CSV: [] };
  const memory = { NDJSON: [], CSV: [] };
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [format, { type, query, head, lineOf }] of Object.entries(FORMATS)) {
      const batchId = `${format}-${turn}`;
      const lines = Array.from({ length: SIZE }, (_, i) => lineOf(`${batchId}-${i}`, i));
      const body = Buffer.from(head + lines.join(''));
      const sampler = setInterval(async () => memory[format].push(await residentBytes(stack.serverPid)), 100);
      const start = performance.now();
      await send(stack, 'PUT', `/batches/${batchId}${query}`, type, body, { agent });
      times[format].push(performance.now() - start);
      clearInterval(sampler);
    }
  }
  agent.destroy();
  const [ndjson, csv] = Object.values(times).map((of) => percentile(of, 0.5));
  const most = Object.values(memory).map((of) => (Math.max(...of) / 2 ** 20).toFixed(0));
  const rate = (ms) => Math.round(SIZE / (ms / 1000)).toLocaleString('en');
  console.log(
    `CSV stream of ${SIZE.toLocaleString('en')} objects: ${rate(csv)} objects/s, NDJSON ${rate(ndjson)}: ratio ${(ndjson / csv).toFixed(2)}; ` +
      `server memory at most ${most[1]} MB, ${most[0]} MB`,
  );
}

function valuesOf(i) {
  const note = i % 10 === 0 ? 'in a "box", blue' : null;
  return [TYPES[i % 5], COLORS[i % 6], `C${i % 97}`, i % 50, (i % 1_000) / 8, note];
}

function jsonLine(id, i) {
  const [type, color, country, size, price, note] = valuesOf(i);
  return `${JSON.stringify({ object_id: id, data: { type, color, country, size, price, note } })}\n`;
}

function csvLine(id, i) {
  const cells = valuesOf(i).map((value) =>
    i % 10 === 0 && typeof value === 'string' ? `"${value.replaceAll('"', '""')}"` : value,
  );
  return `${id},${cells.join()}\n`;
}

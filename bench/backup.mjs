import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { send } from './send.mjs';
import { residentBytes } from './stack.mjs';

const CLI = fileURLToPath(new URL('../dist/apps/cli/main.js', import.meta.url));
const SIZE = Math.round((400_000 * Number(process.env.BENCH_OBJECTS ?? 1e6)) / 1e6);
const LEVELS = ['0', '1', '6'];
const COLORS = ['red', 'blue', 'purple', 'gold', 'white', 'black'];

/** Stores objects as one NDJSON stream, backs the database up while its server runs, and restores it into another folder. */
export async function benchBackup(stack) {
  const lines = Array.from({ length: SIZE }, (_, i) => lineOf(i));
  const body = Buffer.from(lines.join(''));
  const agent = new Agent({ keepAlive: true });
  const start = performance.now();
  await send(stack, 'PUT', '/batches/backup', 'application/x-ndjson', body, { agent });
  const ingest = SIZE / ((performance.now() - start) / 1000);
  agent.destroy();
  const { rows } = await stack.sql.query('SELECT count(*)::int AS objects FROM objects');
  const { objects } = rows[0];
  for (const level of LEVELS) {
    const file = join(stack.folder, `backup-${level}`);
    const { line, megabytes } = await run(['backup', file, '--level', level], join(stack.folder, 'data'));
    const [, size, unit, file_, fileUnit, seconds] = /\((\S+) (\S+)\) to \S+ \((\S+) (\S+)\) in (\S+) s/.exec(line);
    const rate = bytesOf(size, unit) / seconds / 1e6;
    console.log(
      `backup of ${objects.toLocaleString('en')} objects at level ${level}: ${size} ${unit} at ${rate.toFixed(0)} MB/s, ` +
        `a file of ${file_} ${fileUnit}; memory ${megabytes} MB`,
    );
  }
  const { line, megabytes } = await run(['restore', join(stack.folder, 'backup-1')], join(stack.folder, 'restored'));
  const rate = objects / Number(/in (\S+) s/.exec(line)[1]);
  console.log(
    `restore: ${Math.round(rate).toLocaleString('en')} objects/s, NDJSON ${Math.round(ingest).toLocaleString('en')}: ` +
      `ratio ${(rate / ingest).toFixed(2)}; memory ${megabytes} MB`,
  );
}

/** @returns the last line that the command printed, and its largest memory */
async function run(args, dataDir) {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { ...process.env, STOWAGE_DATA_DIR: dataDir, LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  let most = 0;
  child.stdout.on('data', (chunk) => (output += chunk));
  const sampler = setInterval(async () => {
    most = Math.max(most, await residentBytes(child.pid).catch(() => 0));
  }, 100);
  const [code] = await once(child, 'close');
  clearInterval(sampler);
  if (code !== 0) throw new Error(`stowage ${args[0]} ended with ${code}: ${output}`);
  return { line: output.trimEnd().split('\n').at(-1), megabytes: (most / 2 ** 20).toFixed(0) };
}

function bytesOf(size, unit) {
  return Number(size) * { kB: 1e3, MB: 1e6, GB: 1e9 }[unit];
}

function lineOf(i) {
  const data = { type: 'shoe', color: COLORS[i % 6], country: `C${i % 97}`, size: i % 50, price: (i % 1_000) / 8 };
  return `${JSON.stringify({ object_id: `backup-${i}`, data })}\n`;
}

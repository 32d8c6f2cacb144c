import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

const MAIN = fileURLToPath(new URL('../dist/apps/api/main.js', import.meta.url));

/** Starts the product as a user does, on an embedded database with fsync on, and opens a connection for plain SQL. */
export async function startStack(folder, settings = {}) {
  const dataDir = join(folder, 'data');
  const adminKey = 'bench-admin-key-of-more-than-32-characters';
  const operatorKey = 'bench-operator-key-of-more-than-32-characters';
  const { server, url, stop } = await startServer({
    STOWAGE_DATA_DIR: dataDir,
    STOWAGE_ADMIN_KEY: adminKey,
    STOWAGE_OPERATOR_KEY: operatorKey,
    STOWAGE_SEED: 'false',
    LOG_LEVEL: 'warn',
    ...settings,
  });
  const cluster = join(dataDir, 'postgres');
  const address = {
    host: await socketFolder(cluster),
    port: 5432,
    user: 'stowage',
    password: await passwordOf(cluster),
    database: 'stowage',
    ssl: false,
  };
  const sql = new pg.Client(address);
  await sql.connect();
  const { rows } = await sql.query(`SELECT project_id FROM projects WHERE name = 'default'`);
  return {
    folder,
    dataDir,
    url,
    adminKey,
    operatorKey,
    sql,
    address,
    serverPid: server.pid,
    projectId: rows[0].project_id,
    async stop() {
      await sql.end();
      await stop();
    },
  };
}

/**
 * @param log a file descriptor for its log; default: that of the benchmark
 * @param onLine receives the lines of its output
 */
export async function startServer(settings, log = 'inherit', onLine = () => undefined) {
  const env = { ...process.env, PORT: '0', ...settings };
  const server = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', log] });
  const url = await readyUrl(server, onLine);
  const stop = async () => {
    const ended = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGTERM');
    await ended;
  };
  return { server, url, stop };
}

function readyUrl(server, onLine) {
  return new Promise((resolve, reject) => {
    server.once('exit', (code) => reject(new Error(`the server exited with code ${code}`)));
    createInterface(server.stdout).on('line', (line) => {
      onLine(line);
      const url = /Stowage is ready: (\S+)/.exec(line)?.[1];
      if (url !== undefined) resolve(url.replace(/\/$/, ''));
    });
  });
}

/** Returns the socket folder, which is line 5 of postmaster.pid. */
async function socketFolder(cluster) {
  return (await readFile(join(cluster, 'postmaster.pid'), 'utf8')).split('\n')[4];
}

async function passwordOf(cluster) {
  return /:stowage:(.+)/.exec(await readFile(`${cluster}.pgpass`, 'utf8'))[1];
}

/** Returns the resident memory of a process in bytes. */
export async function residentBytes(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
}

export function percentile(values, p) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];
}

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { ADMIN_KEY, Stowage, type Ended, type Running } from '../cli/stowage.js';
import { send, type Outgoing, type Reply } from './http.js';
import { endPostgres, postmasterOf } from './postgres-processes.js';

const READY_WITHIN_MS = 60_000;

/** A server, a worker and their PostgreSQL: real processes on a folder of their own, with every promise of a disk kept. */
export class Stack {
  server: Running | undefined;
  worker: Running | undefined;
  /** Of the API; another one after each start of the server. */
  url = '';

  private constructor(
    private readonly stowage: Stowage,
    readonly postgresDir: string,
  ) {}

  static async make(settings: Record<string, string> = {}): Promise<Stack> {
    const stowage = await Stowage.create({ STOWAGE_ADMIN_KEY: ADMIN_KEY, LOG_LEVEL: 'warn', ...settings });
    return new Stack(stowage, join(stowage.folder, 'data/postgres'));
  }

  get folder(): string {
    return this.stowage.folder;
  }

  async serve(settings: Record<string, string> = {}): Promise<void> {
    this.server = this.stowage.start(['serve'], settings);
    const [, url = ''] = await this.server.prints(/Stowage is ready: (\S+)\/api\/v1\//);
    this.url = `${url}/api/v1`;
  }

  async work(settings: Record<string, string> = {}): Promise<void> {
    this.worker = this.stowage.start(['worker'], settings);
    await this.worker.prints(/Stowage worker is ready/);
  }

  /** @param path below /api/v1 */
  call(path: string, outgoing: Outgoing = { method: 'GET' }, patienceMs?: number): Promise<Reply> {
    const headers = { 'X-Api-Key': ADMIN_KEY, ...outgoing.headers };
    return send(this.url + path, { ...outgoing, headers }, patienceMs);
  }

  /** Waits until the server says that it can serve. @returns how long that took, in milliseconds */
  async ready(): Promise<number> {
    const start = performance.now();
    for (;;) {
      const { status, text } = await send(`${new URL(this.url).origin}/health/ready`, { method: 'GET' });
      const tookMs = performance.now() - start;
      if (status === 200) return tookMs;
      if (tookMs > READY_WITHIN_MS) {
        const last = [`${String(status)} ${text}`, this.server?.output() ?? '', this.worker?.output() ?? ''];
        const log = await readFile(join(this.postgresDir, 'postgres.log'), 'utf8');
        throw new Error(
          `the server does not get ready again:\n${[...last, log].map((part) => part.slice(-4_000)).join('\n---\n')}`,
        );
      }
      await sleep(50);
    }
  }

  /** @throws Error with its last words when the server or the worker has ended by itself */
  async checkAlive(): Promise<void> {
    for (const running of [this.server, this.worker]) {
      if (running === undefined || running.child.exitCode === null) continue;
      const { code, stderr } = await running.ended;
      throw new Error(`${running.child.spawnargs.join(' ')} ended by itself with ${String(code)}: ${stderr}`);
    }
  }

  /** Looks at the tables from the side. */
  async sql<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    const postmaster = await postmasterOf(this.postgresDir);
    const place = { host: postmaster?.host ?? '', port: 5432, user: 'stowage', database: 'stowage', ssl: false };
    const client = new pg.Client({ ...place, application_name: 'fault tests' });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /**
   * As if the time had passed in which a living worker would have been heard of, a living server renewed its claims, and a
   * job that met a fault was put off. To be called while nothing is under way.
   */
  async moveClocks(): Promise<void> {
    const silent = `beat_at < now() - interval '6 s'`;
    await this.sql(`UPDATE job_workers SET beat_at = beat_at - interval '1 minute' WHERE ${silent}`);
    await this.sql('UPDATE idempotency_keys SET claimed_until = now() WHERE status IS NULL');
    await this.sql(
      'UPDATE graphile_worker._private_jobs SET run_at = now() WHERE run_at > now() AND locked_at IS NULL',
    );
  }

  /** Ends everything that runs, PostgreSQL last, and removes the folder. */
  async close(): Promise<void> {
    await Promise.all([this.server, this.worker].map(async (running) => running && (await stop(running))));
    await endPostgres(this.postgresDir);
    await this.stowage.remove();
  }
}

/** Tells a process to stop, and kills it where it does not. @returns how it ended, and after how many milliseconds */
export async function stop(running: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended & { ms: number }> {
  const start = performance.now();
  if (running.child.exitCode === null && running.child.signalCode === null) running.child.kill(signal);
  const timer = setTimeout(() => running.child.kill('SIGKILL'), 20_000);
  const ended = await running.ended;
  clearTimeout(timer);
  return { ...ended, ms: performance.now() - start };
}

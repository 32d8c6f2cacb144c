import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { ADMIN_KEY, Stowage, type Ended, type Running } from '../cli/stowage.js';
import { addressOfEmbedded } from '../harness/embedded.js';
import { send, type RequestData, type Reply } from './http.js';
import { findIndexDifferences } from './index-differences.js';
import { stopPostgres } from './postgres-processes.js';

const READY_WITHIN_MS = 60_000;

/** A server, a worker and their PostgreSQL as real processes on a temporary folder, with fsync on. */
export class Stack {
  server: Running | undefined;
  worker: Running | undefined;
  /** The URL of the API; its port changes with each start of the server. */
  url = '';

  private constructor(
    private readonly stowage: Stowage,
    readonly postgresDir: string,
  ) {}

  static async create(settings: Record<string, string> = {}): Promise<Stack> {
    const stowage = await Stowage.create({ STOWAGE_ADMIN_KEY: ADMIN_KEY, LOG_LEVEL: 'warn', ...settings });
    return new Stack(stowage, join(stowage.folder, 'data/postgres'));
  }

  get folder(): string {
    return this.stowage.folder;
  }

  async startServer(settings: Record<string, string> = {}): Promise<void> {
    this.server = this.stowage.start(['serve'], settings);
    const [, url = ''] = await this.server.prints(/Stowage is ready: (\S+)\/api\/v1\//);
    this.url = `${url}/api/v1`;
  }

  async startWorker(settings: Record<string, string> = {}): Promise<void> {
    this.worker = this.stowage.start(['worker'], settings);
    await this.worker.prints(/Stowage worker is ready/);
  }

  /** @param path relative to /api/v1 */
  call(path: string, outgoing: RequestData = { method: 'GET' }, timeoutMs?: number): Promise<Reply> {
    const headers = { 'X-Api-Key': ADMIN_KEY, ...outgoing.headers };
    return send(this.url + path, { ...outgoing, headers }, timeoutMs);
  }

  /** Waits until /health/ready returns 200. @returns the time waited in milliseconds */
  async waitUntilReady(): Promise<number> {
    const start = performance.now();
    for (;;) {
      const { status, text } = await send(`${new URL(this.url).origin}/health/ready`, { method: 'GET' });
      const tookMs = performance.now() - start;
      if (status === 200) return tookMs;
      if (tookMs > READY_WITHIN_MS) {
        const last = [`${String(status)} ${text}`, this.state()];
        const log = await readFile(join(this.postgresDir, 'postgres.log'), 'utf8');
        throw new Error(
          `/health/ready did not return 200 in time:\n${[...last, log].map((part) => part.slice(-4_000)).join('\n---\n')}`,
        );
      }
      await sleep(50);
    }
  }

  /** How the server and the worker are, and the end of their output, for the message of a failed run. */
  state(): string {
    return [this.server, this.worker]
      .flatMap((running) => running ?? [])
      .map((running) => {
        const { exitCode, signalCode, spawnargs } = running.child;
        const state =
          exitCode === null && signalCode === null ? 'runs' : `ended with ${String(exitCode ?? signalCode)}`;
        return `${spawnargs.join(' ')} ${state}:\n${running.output().slice(-4_000)}`;
      })
      .join('\n---\n');
  }

  /** @throws Error with the stderr of the server or the worker if it has exited */
  async checkAlive(): Promise<void> {
    for (const running of [this.server, this.worker]) {
      if (running === undefined || running.child.exitCode === null) continue;
      const { code, stderr } = await running.ended;
      throw new Error(`${running.child.spawnargs.join(' ')} exited with ${String(code)}: ${stderr}`);
    }
  }

  /** Queries the database on a separate connection. */
  async sql<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    const address = await addressOfEmbedded(this.postgresDir);
    const client = new pg.Client({ ...address, ssl: false, application_name: 'fault tests' });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** Compares the index of every project with its objects. @returns the first differences of each project, as sentences */
  async findIndexDifferences(): Promise<string[]> {
    return findIndexDifferences(await addressOfEmbedded(this.postgresDir));
  }

  /**
   * Expires the leases of killed workers and the idempotency-key claims of killed servers, and ends the delays of retries.
   * Must be called while no request is in progress.
   */
  async advanceClocks(): Promise<void> {
    const isSilent = `beat_at < now() - interval '6 s'`;
    await this.sql(`UPDATE job_workers SET beat_at = beat_at - interval '1 minute' WHERE ${isSilent}`);
    await this.sql('UPDATE idempotency_keys SET claimed_until = now() WHERE status IS NULL');
    await this.sql(
      'UPDATE graphile_worker._private_jobs SET run_at = now() WHERE run_at > now() AND locked_at IS NULL',
    );
  }

  /** Stops all processes, PostgreSQL last, and removes the folder. */
  async close(): Promise<void> {
    await Promise.all([this.server, this.worker].map(async (running) => running && (await stopProcess(running))));
    await stopPostgres(this.postgresDir);
    await this.stowage.remove();
  }
}

/** Sends `signal`, and SIGKILL after 20 s. @returns the exit and the time that it took in milliseconds */
export async function stopProcess(
  running: Running,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<Ended & { ms: number }> {
  const start = performance.now();
  if (running.child.exitCode === null && running.child.signalCode === null) running.child.kill(signal);
  const timer = setTimeout(() => running.child.kill('SIGKILL'), 20_000);
  const ended = await running.ended;
  clearTimeout(timer);
  return { ...ended, ms: performance.now() - start };
}

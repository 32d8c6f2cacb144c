import { ADMIN_KEY, Stowage, type Running } from '../cli/stowage.js';
import { findIndexDifferences } from '../faults/index-differences.js';
import { send, type Reply, type RequestData } from '../faults/http.js';
import { stopProcess } from '../faults/stack.js';
import { createDatabase, dropDatabase, Tables, urlOf } from '../harness/tables.js';

interface Server {
  running: Running;
  url: string;
  /** Requests that it has not answered. */
  open: number;
}

/** Servers and workers of several versions on one database, and the load balancer in front of them. */
export class Fleet {
  private readonly servers: Server[] = [];
  private next = 0;

  private constructor(
    private readonly db: Tables,
    private readonly versions: Readonly<Record<'previous' | 'current', Stowage>>,
  ) {}

  /** @param previous the folder of the previous version */
  static async create(previous: string): Promise<Fleet> {
    const db = new Tables(await createDatabase('template0'));
    const settings = {
      DATABASE_URL: urlOf(db.address),
      STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters',
      STOWAGE_ADMIN_KEY: ADMIN_KEY,
      RATE_LIMIT_ITEMS_PER_MINUTE: '0',
      WORKER: 'separate',
      LOG_LEVEL: 'warn',
    };
    const versions = {
      previous: await Stowage.create(settings, `${previous}/dist/apps/cli/main.js`),
      current: await Stowage.create({ ...settings, MIGRATE_ON_START: 'false' }),
    };
    return new Fleet(db, versions);
  }

  /** @returns its output */
  async migrate(version: 'previous' | 'current'): Promise<string> {
    const { code, stdout, stderr } = await this.versions[version].start(['migrate']).ended;
    if (code !== 0) throw new Error(`migrate of the ${version} version: ${stderr}`);
    return stdout;
  }

  /** Starts a server, which takes requests from now on. @returns a function that stops it when its requests have been answered */
  async startServer(version: 'previous' | 'current'): Promise<() => Promise<void>> {
    const running = this.versions[version].start(['serve']);
    const [, url = ''] = await running.prints(/Stowage is ready: (\S+)\/api\/v1\//);
    const server: Server = { running, url: `${url}/api/v1`, open: 0 };
    this.servers.push(server);
    return async () => {
      this.servers.splice(this.servers.indexOf(server), 1);
      while (server.open > 0) await new Promise((resolve) => setTimeout(resolve, 20));
      await this.stop(running);
    };
  }

  /** @returns a function that stops it */
  async startWorker(version: 'previous' | 'current'): Promise<() => Promise<void>> {
    const running = this.versions[version].start(['worker']);
    await running.prints(/Stowage worker is ready/);
    return () => this.stop(running);
  }

  /** Sends a request to the servers in turn. @param path relative to /api/v1 */
  async call(path: string, request: RequestData = { method: 'GET' }): Promise<Reply> {
    const server = this.servers[this.next++ % this.servers.length];
    if (server === undefined) throw new Error('no server runs');
    server.open++;
    try {
      return await send(server.url + path, { ...request, headers: { 'X-Api-Key': ADMIN_KEY, ...request.headers } });
    } finally {
      server.open--;
    }
  }

  get sql(): Tables['sql'] {
    return this.db.sql;
  }

  findIndexDifferences(): Promise<string[]> {
    return findIndexDifferences(this.db.address);
  }

  advanceClocks(): Promise<void> {
    throw new Error('this fleet runs with real times');
  }

  async close(): Promise<void> {
    await this.versions.previous.remove();
    await this.versions.current.remove();
    await this.db.close();
    await dropDatabase(this.db.address);
  }

  /** @throws Error when it failed or logged an error */
  private async stop(running: Running): Promise<void> {
    const { code, stderr } = await stopProcess(running);
    if (code !== 0 || stderr.includes('"level":50')) throw new Error(`a process ended with ${String(code)}: ${stderr}`);
  }
}

import { constants } from 'node:fs';
import { copyFile, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ADMIN_KEY, MAIN, Stowage, type Running } from '../cli/stowage.js';
import { childrenOf, stopPostgres } from '../faults/postgres-processes.js';
import { stopProcess } from '../faults/stack.js';
import { addressOfEmbedded } from '../harness/embedded.js';
import { waitFor } from '../jobs/jobs.js';
import { connectToAll, ProcessClient } from './process-client.js';

const PROCESSES = 2;
const MAX_CONNECTIONS = 200;
const POOL_MAX = 12;
const ITEMS_PER_MINUTE = 3_000;
/** The processes combine their counts every second. */
const ACCEPTED_MAX = 1_000;
const EXIT_WITHIN_MS = 10_000;
const TOKEN = 't'.repeat(32);

let stowage: Stowage;
let server: Running;
let url: string;
/** The standard error of the server. */
let log: string;

function dataDir(): string {
  return join(stowage.folder, 'data/postgres');
}

async function sql<Row extends object>(text: string): Promise<Row[]> {
  const client = new pg.Client({ ...(await addressOfEmbedded(dataDir())), ssl: false, application_name: 'test' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

/**
 * Not with PORT=0: the processes listen some seconds after their port was found to be free, and meanwhile a connection of another test
 * may get it.
 */
async function start(settings: Record<string, string> = {}): Promise<void> {
  const PORT = String(await freePorts(1));
  server = stowage.start(['serve', '--processes', String(PROCESSES)], { PORT, ...settings });
  log = '';
  server.child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  [, url = ''] = await server.prints(/Stowage is ready: (\S+)\/api\/v1\//);
}

/** The first of some ports in a row that nothing uses, and that the system gives to no connection: Linux begins at 32768. */
async function freePorts(count: number): Promise<number> {
  const first = 20_000 + Math.floor(Math.random() * 10_000);
  const ports = Array.from({ length: count }, (_, index) => first + index);
  const servers = ports.map((port) => createServer().listen(port, '127.0.0.1'));
  const areFree = await Promise.all(
    servers.map((one) =>
      once(one, 'listening').then(
        () => true,
        () => false,
      ),
    ),
  );
  await Promise.all(servers.filter((one) => one.listening).map((one) => once(one.close(), 'close')));
  return areFree.includes(false) ? freePorts(count) : first;
}

/** The pids of the processes that serve: those whose requests are in the log, since a position in the log. */
async function servingPids(since: number, processes = PROCESSES): Promise<number[]> {
  return waitFor(async () => {
    const client = new ProcessClient(url);
    await client.processName().finally(() => {
      client.close();
    });
    const lines = log.slice(since).split('\n');
    const pids = new Set(lines.flatMap((line) => /"pid":(\d+).*"route":/.exec(line)?.[1] ?? []).map(Number));
    return pids.size >= processes ? [...pids] : undefined;
  });
}

/** The statuses of /health/ready over this number of new connections at once; 0 where one was closed. */
function statuses(count: number): Promise<number[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const client = new ProcessClient(url);
      const answer = await client.call('GET', '/health/ready').catch(() => ({ status: 0 }));
      client.close();
      return answer.status;
    }),
  );
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function untilGone(pids: readonly number[]): Promise<void> {
  await waitFor(() => Promise.resolve(pids.some(isAlive) ? undefined : true));
}

async function postmasterPid(): Promise<number> {
  return Number((await readFile(join(dataDir(), 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0]);
}

describe('serve --processes 2', () => {
  let clients: ProcessClient[];
  let first: ProcessClient;
  let second: ProcessClient;
  let metricsPort: number;

  beforeAll(async () => {
    metricsPort = await freePorts(PROCESSES + 1);
    stowage = await Stowage.create({
      LOG_LEVEL: 'info',
      METRICS_PORT: String(metricsPort),
      MAX_CONNECTIONS: String(MAX_CONNECTIONS),
      DATABASE_POOL_MAX: String(POOL_MAX),
      JOB_CONCURRENCY: '4',
      RATE_LIMIT_ITEMS_PER_MINUTE: String(ITEMS_PER_MINUTE),
    });
    await start({ PORT: String(metricsPort + PROCESSES) });
  });
  afterAll(async () => {
    await stopProcess(server);
    await stowage.remove();
  });
  beforeEach(async () => {
    clients = await connectToAll(url, PROCESSES);
    [first, second] = clients as [ProcessClient, ProcessClient];
  });
  afterEach(() => {
    for (const client of clients) client.close();
  });

  /** The admin key that the start printed. */
  const adminKey = (): string => /stw_admin_\w+/.exec(server.output())?.[0] ?? '';

  /** The path of the keys of the first project. */
  async function keysPath(): Promise<string> {
    const { project } = JSON.parse((await first.call('GET', '/api/v1/me', adminKey())).text) as {
      project: { project_id: number };
    };
    return `/api/v1/projects/${String(project.project_id)}/keys`;
  }

  async function createKey(role: string): Promise<{ key_id: string; key: string }> {
    const created = await first.call('POST', await keysPath(), adminKey(), { name: role, role });
    expect(created).toMatchObject({ status: 201 });
    return JSON.parse(created.text) as { key_id: string; key: string };
  }

  it('prints each line and each key of the first start once, and the address when all processes are ready', () => {
    const output = server.output();
    expect(output.match(/stw_admin_\w+$/gm)).toHaveLength(1);
    expect(output.match(/^operator key:/gm)).toHaveLength(1);
    for (const line of [
      /^creating the database/gm,
      /^starting PostgreSQL/gm,
      /^ran \d+ migrations/gm,
      /^Stowage is ready/gm,
    ])
      expect(output.match(line)).toHaveLength(1);
    expect(output).not.toContain('using the PostgreSQL server');
  });

  it('serves with all of them, whose log lines carry their process id', async () => {
    const pids = await servingPids(0);
    expect(pids).toHaveLength(PROCESSES);
    expect(pids).not.toContain(server.child.pid);
  });

  it('reports the metrics of each process on a port of its own, from METRICS_PORT on', async () => {
    for (const client of clients)
      expect(await client.call('GET', '/api/v1/me', adminKey())).toMatchObject({ status: 200 });
    for (let port = metricsPort; port < metricsPort + PROCESSES; port++) {
      await waitFor(async () => {
        const text = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
        return /^stowage_http_request_duration_seconds_count\{.*route="\/api\/v1\/me".* [1-9]/m.test(text) || undefined;
      });
    }
    expect(await first.call('GET', '/metrics')).toMatchObject({ status: 404 });
  });

  it('prints the ports of the metrics with its address', () => {
    const [line = ''] = /^Stowage is ready: .*/m.exec(server.output()) ?? [];
    expect(line.replace(/^.*; /, '')).toBe(
      `metrics at http://127.0.0.1:${String(metricsPort)}/metrics, http://127.0.0.1:${String(metricsPort + 1)}/metrics`,
    );
    expect(log).not.toContain('METRICS_TOKEN');
  });

  it('rejects a key at the others that one of them has revoked', async () => {
    const { key_id, key } = await createKey('analyst');
    for (const client of clients)
      expect(await client.call('GET', '/api/v1/batches', key)).toMatchObject({ status: 200 });
    const path = `${await keysPath()}/${key_id}`;
    expect(await first.call('DELETE', path, adminKey())).toMatchObject({ status: 204 });
    await waitFor(
      async () => ((await second.call('GET', '/api/v1/batches', key)).status === 401 ? true : undefined),
      5_000,
    );
  });

  it('counts the items of a key that it has used at any of them', async () => {
    const { key } = await createKey('producer');
    const objects = Array.from({ length: ITEMS_PER_MINUTE }, (_, i) => ({
      object_id: `limited-${String(i)}`,
      data: {},
    }));
    const body = { batch_id: 'limited', objects };
    expect(await first.call('POST', '/api/v1/batches', key, body)).toMatchObject({ status: 201 });
    expect(await first.call('GET', '/api/v1/jobs', key)).toMatchObject({ status: 429 });
    // Alone, the second process would accept 3,000 more.
    let accepted = 0;
    while (accepted < ACCEPTED_MAX && (await second.call('GET', '/api/v1/jobs', key)).status !== 429) {
      accepted++;
      await sleep(20);
    }
    expect(accepted).toBeLessThan(ACCEPTED_MAX);
  });

  it('holds as many connections of clients as the setting says, and not as many at each process', async () => {
    const sockets: Socket[] = [];
    let closed = 0;
    for (let i = 0; i < 2 * MAX_CONNECTIONS; i++) {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      socket.on('error', () => undefined).once('close', () => closed++);
      sockets.push(socket);
    }
    await waitFor(() => Promise.resolve(closed >= MAX_CONNECTIONS ? true : undefined), 5_000);
    // Those that are open still serve.
    expect(await first.call('GET', '/health/ready')).toMatchObject({ status: 200 });
    expect(closed).toBeLessThan(2 * MAX_CONNECTIONS);
    for (const socket of sockets) socket.destroy();
    // The server counts a connection until it has read its end.
    await waitFor(async () =>
      (await statuses(MAX_CONNECTIONS / 2)).every((status) => status === 200) ? true : undefined,
    );
  });

  it('holds as many connections to the database as the setting says, and leases a lane for each process', async () => {
    const key = adminKey();
    let most = 0;
    for (let round = 0; round < 10; round++) {
      const reads = Array.from({ length: 40 }, () =>
        fetch(`${url}/api/v1/objects?count=exact`, { headers: { 'X-Api-Key': key } }),
      );
      const [row] = await sql<{ open: number }>(
        `SELECT count(*)::int AS open FROM pg_stat_activity WHERE application_name ~ '^stowage( \\w+)?$' AND application_name <> 'stowage listener'`,
      );
      most = Math.max(most, row?.open ?? 0);
      for (const { status } of await Promise.all(reads)) expect(status).toBe(200);
    }
    expect(most).toBeGreaterThan(2);
    expect(most).toBeLessThanOrEqual(POOL_MAX);
    expect(await sql(`SELECT DISTINCT lane FROM sequence_lanes WHERE holder IS NOT NULL`)).toHaveLength(PROCESSES);
  });

  it('runs jobs in each of them', async () => {
    expect(await sql(`SELECT FROM job_workers WHERE beat_at > now() - interval '20 s'`)).toHaveLength(PROCESSES);
    const { key } = await createKey('admin');
    const accepted = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        fetch(`${url}/api/v1/batches`, {
          method: 'POST',
          headers: { 'X-Api-Key': key, 'Content-Type': 'application/json', Prefer: 'respond-async' },
          body: JSON.stringify({
            batch_id: `job-${String(i)}`,
            objects: [{ object_id: `job-${String(i)}`, data: {} }],
          }),
        }),
      ),
    );
    expect(accepted.map(({ status }) => status)).toEqual(accepted.map(() => 202));
    await waitFor(async () =>
      (await sql(`SELECT FROM batches WHERE batch_id LIKE 'job-%'`)).length === 10 ? true : undefined,
    );
  });

  it('loses no acknowledged write when one process is killed, keeps serving, and starts another', async () => {
    const since = log.length;
    const [pid = 0, other = 0] = await servingPids(since);
    const killedAt = log.length;
    const { key } = await createKey('producer');
    const acknowledged: string[] = [];
    const writing = Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const id = `kept-${String(i)}`;
        const body = JSON.stringify({ batch_id: id, objects: [{ object_id: id, data: {} }] });
        const headers = { 'X-Api-Key': key, 'Content-Type': 'application/json' };
        const answer = await fetch(`${url}/api/v1/batches`, { method: 'POST', headers, body }).catch(() => null);
        if (answer?.status === 201) acknowledged.push(id);
      }),
    );
    await waitFor(() => Promise.resolve(acknowledged.length > 0 ? true : undefined));
    process.kill(pid, 'SIGKILL');
    await Promise.all([untilGone([pid]), writing]);
    const stored = await sql<{ batch_id: string }>(`SELECT batch_id FROM objects WHERE batch_id LIKE 'kept-%'`);
    expect(stored.map(({ batch_id }) => batch_id)).toEqual(expect.arrayContaining(acknowledged));
    expect(await statuses(10)).toEqual(Array.from({ length: 10 }, () => 200));
    await waitFor(() => Promise.resolve(log.includes('started again', killedAt) ? true : undefined));
    const pids = await servingPids(log.length);
    expect(pids).toContain(other);
    expect(pids).not.toContain(pid);
    expect(log.slice(killedAt)).toContain(`process ${String(pid)} of the server has ended with SIGKILL`);
  });

  it('starts PostgreSQL again when it is killed, once', async () => {
    const starts = (): number => server.output().match(/^starting PostgreSQL/gm)?.length ?? 0;
    const before = starts();
    const postmaster = await postmasterPid();
    process.kill(postmaster, 'SIGKILL');
    await waitFor(async () => {
      const answers = await statuses(4);
      return (await postmasterPid()) !== postmaster && answers.every((status) => status === 200) ? true : undefined;
    });
    expect(starts()).toBe(before + 1);
  });

  it('stops within 10 s with exit code 0 on two signals, with its processes and PostgreSQL', async () => {
    const pids = [...(await servingPids(log.length)), await postmasterPid()];
    const stopped = stopProcess(server);
    server.child.kill('SIGTERM');
    const { code, ms, stdout } = await stopped;
    expect(code).toBe(0);
    expect(ms).toBeLessThan(EXIT_WITHIN_MS);
    expect(pids.filter(isAlive)).toEqual([]);
    expect(stdout.match(/^stopp(?:ing|ed)$/gm)).toEqual(['stopping', 'stopped']);
  });
});

describe('serve --processes 2 whose first process is killed', () => {
  beforeAll(async () => {
    stowage = await Stowage.create({ LOG_LEVEL: 'info', STOWAGE_ADMIN_KEY: ADMIN_KEY, METRICS_TOKEN: TOKEN });
    await start();
  });
  afterAll(async () => {
    await stopProcess(server);
    await stopPostgres(dataDir());
    await stowage.remove();
  });

  it('warns at the start that METRICS_TOKEN has no effect without METRICS_PORT', async () => {
    expect(log.match(/METRICS_TOKEN has no effect: .*METRICS_PORT/g)).toHaveLength(1);
    expect(server.output()).not.toContain('metrics at');
    const headers = { Authorization: `Bearer ${TOKEN}` };
    expect(await fetch(`${url}/metrics`, { headers })).toMatchObject({ status: 404 });
  });

  it('leaves no process that serves, and the next start adopts its PostgreSQL', async () => {
    const pids = await servingPids(0);
    const postmaster = await postmasterPid();
    server.child.kill('SIGKILL');
    await server.ended;
    await untilGone(pids);
    expect(isAlive(postmaster)).toBe(true);
    await start();
    expect(await postmasterPid()).toBe(postmaster);
    expect(server.output()).toContain('using the PostgreSQL server that runs on this data directory');
  });

  it('stops as with one signal when all processes get it, as by Ctrl-C', async () => {
    const pids = await servingPids(0);
    for (const pid of pids) process.kill(pid, 'SIGINT');
    expect(await stopProcess(server, 'SIGINT')).toMatchObject({ code: 0 });
    expect(log).not.toMatch(/has ended|started again|is killed/);
  });
});

describe('serve --processes 2 whose processes all end', () => {
  let folder: string;
  let node: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'stowage-node-'));
    node = join(folder, 'node');
    await copyFile(process.execPath, node, constants.COPYFILE_FICLONE);
    stowage = await Stowage.create({ LOG_LEVEL: 'info', STOWAGE_ADMIN_KEY: ADMIN_KEY }, MAIN, node);
    await start();
  });
  afterAll(async () => {
    await stopProcess(server);
    await stowage.remove();
    await rm(folder, { recursive: true, force: true });
  });

  it('starts them again on the same port, and tries again while no process can be created', async () => {
    const pids = await servingPids(0);
    await rename(node, `${node}-away`);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await waitFor(() => Promise.resolve(log.includes('cannot be started: spawn') ? true : undefined));
    await rename(`${node}-away`, node);
    await waitFor(() => Promise.resolve(log.match(/started again/g)?.length === PROCESSES ? true : undefined));
    expect(await fetch(`${url}/health/ready`)).toMatchObject({ status: 200 });
  });

  it('kills one that hangs at the stop, which ends with exit code 0 and stops PostgreSQL', async () => {
    const [pid = 0] = await servingPids(log.length);
    const postmaster = await postmasterPid();
    process.kill(pid, 'SIGSTOP');
    expect(await stopProcess(server)).toMatchObject({ code: 0 });
    expect(log).toContain(`process ${String(pid)} does not stop and is killed`);
    expect([pid, postmaster].filter(isAlive)).toEqual([]);
  });
});

describe('serve --processes', () => {
  beforeAll(async () => {
    stowage = await Stowage.create();
  });
  afterAll(() => stowage.remove());

  it('ends with exit code 1 and one line when its processes cannot start', async () => {
    const DATABASE_URL = 'postgresql://stowage:password@127.0.0.1:1/stowage';
    const settings = { DATABASE_URL, STOWAGE_KEY_SECRET: 's'.repeat(32) };
    const { code, stderr } = await stowage.start(['serve', '--processes', '2'], settings).ended;
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^stowage: cannot use the database: .*ECONNREFUSED.*\n$/),
    });
  });

  it('starts no further process after a signal that all processes get while it starts', async () => {
    const starting = stowage.start(['serve', '--processes', '2'], { LOG_LEVEL: 'warn' });
    await starting.prints(/^ran \d+ migrations/m);
    const children = await childrenOf(starting.child.pid ?? 0);
    const processes = children.filter(({ title }) => title.includes('server-process'));
    expect(processes).toHaveLength(1);
    for (const { pid } of processes) process.kill(pid, 'SIGINT');
    const { code, stderr } = await stopProcess(starting, 'SIGINT');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it.each(['0', '33', 'two', '1.5', ''])('rejects %j', async (count) => {
    const { code, stderr } = await stowage.run(['serve', '--processes', count]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining('--processes must be a whole number from 1 to 32'),
    });
  });
});

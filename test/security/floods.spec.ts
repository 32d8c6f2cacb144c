/**
 * What a stranger or one project can send to keep others from being served: with `npm test` a little of it, with
 * `npm run test:faults` as much as stopped the server before its work was bounded (Linux only).
 *
 * embedded-database.spec.ts has the attempts of another program on the same machine. The rules behind each bound have specs of
 * their own; api4-resource-consumption.spec.ts lists them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Disk } from '../faults/disk.js';
import { flood, type Attack, type Bystander, type FloodResult } from '../faults/flood.js';
import { send, type Reply } from '../faults/http.js';
import { signalPostgres } from '../faults/postgres-processes.js';
import { printLine, RUN_OPTIONS } from '../faults/run-options.js';
import { Stack } from '../faults/stack.js';
import { waitFor, type Job } from '../jobs/jobs.js';

const MIB = 1024 ** 2;
/** The bound in docs/operations/limits.md. */
const MEMORY_MAX_BYTES = 1024 * MIB;
const OPERATOR_KEY = 'the operator key of the flood tests'.replaceAll(' ', '-');
const { isLong } = RUN_OPTIONS;
const TEST_TIMEOUT_MS = isLong ? 15 * 60_000 : 60_000;
const WAIT_MS = TEST_TIMEOUT_MS / 2;
jest.setTimeout(TEST_TIMEOUT_MS);

/** Bytes of a large body, and the number of objects that an analyst can query. */
const LARGE = isLong ? 60 * MIB : MIB;
const STORED_OBJECTS = isLong ? 200_000 : 1_000;
const times = (full: number, small: number): number => (isLong ? full : small);

const JSON_TYPE = { 'Content-Type': 'application/json' };
const NDJSON_TYPE = { 'Content-Type': 'application/x-ndjson' };
const ASYNC = { Prefer: 'respond-async' };

interface Project {
  projectId: number;
  keys: Record<'admin' | 'producer' | 'analyst' | 'device', string>;
}

let stack: Stack;
let disk: Disk;
let attacker: Project;
let accomplice: Project;
let other: Project;

beforeAll(async () => {
  stack = await Stack.create({ STOWAGE_OPERATOR_KEY: OPERATOR_KEY });
  disk = await Disk.create(stack);
  await stack.startServer();
  [attacker, accomplice, other] = [
    await createProject('attacker'),
    await createProject('accomplice'),
    await createProject('other'),
  ];
  await post(other.keys.producer, '/batches', { batch_id: 'b', objects: [{ object_id: 'o', data: { n: 1 } }] });
  await post(attacker.keys.producer, '/batches', { batch_id: 'locked', objects: [] });
  const stored = await stack.call('/batches/stored', {
    method: 'PUT',
    headers: { ...NDJSON_TYPE, 'X-Api-Key': attacker.keys.producer },
    body: storedLines(),
  });
  expect([stored.status, stored.text]).toEqual([201, stored.text]);
  // One page of 57 MB.
  const notes = Array.from({ length: 57 }, (_, i) => ({
    object_id: `note-${String(i)}`,
    data: { page: 'x'.repeat(times(1_000_000, 20_000)) },
  }));
  for (const { keys } of [attacker, accomplice])
    await post(keys.producer, '/batches', { batch_id: 'notes', objects: notes });
});
afterAll(async () => {
  await disk.free();
  await stack.close();
});

function call(key: string, method: string, path: string, body?: object, headers = {}): Promise<Reply> {
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  return stack.call(path, { method, headers: { ...JSON_TYPE, ...headers, 'X-Api-Key': key }, ...content });
}

async function post<T>(key: string, path: string, body: object, headers = {}): Promise<T> {
  const { status, text } = await call(key, 'POST', path, body, headers);
  expect([status < 300, text]).toEqual([true, text]);
  return JSON.parse(text) as T;
}

async function createProject(name: string): Promise<Project> {
  const { project_id: projectId } = await post<{ project_id: number }>(OPERATOR_KEY, '/projects', { name });
  const keysPath = `/projects/${String(projectId)}/keys`;
  const create = async (role: string) =>
    (await post<{ key: string }>(OPERATOR_KEY, keysPath, { name: role, role })).key;
  const [admin, producer, analyst] = [await create('admin'), await create('producer'), await create('analyst')];
  const { key: device } = await post<{ key: string }>(admin, '/devices', { device_id: `device-of-${name}` });
  return { projectId, keys: { admin, producer, analyst, device } };
}

function* storedLines(): Generator<string> {
  for (let n = 0; n < STORED_OBJECTS; n++) {
    const data = { k0: n % 7, k1: n % 1_000, k2: n, name: `object ${String(n)}` };
    yield `${JSON.stringify({ object_id: `stored-${String(n)}`, subject: `subject-${String(n % 5_000)}`, data })}\n`;
  }
}

/** An attack with a key, or with none; one request unless the fields have more. */
function attack(
  key: string | null,
  request: string,
  expected: readonly number[],
  { headers = {}, ...fields }: Partial<Attack> = {},
): Attack {
  const [method = '', path = ''] = request.split(' ');
  const { count = 1 } = fields;
  return {
    method,
    path: `/api/v1${path}`,
    headers: { ...JSON_TYPE, ...(key === null ? {} : { 'X-Api-Key': key }), ...headers },
    connections: count,
    expected,
    ...fields,
    count,
  };
}

interface Replay {
  /** Runs during the attacks, which last until it ends. */
  meanwhile?: () => Promise<void>;
  /** The statuses of the other project's requests. */
  expected?: Bystander['expected'];
  /** Runs after the attacks. */
  recover?: () => Promise<void>;
}

/** Runs the attacks and checks all statuses, the memory of the server, and that it works afterwards as before. */
async function replay(
  attacks: readonly Attack[],
  { meanwhile, expected = [200], recover = () => Promise.resolve() }: Replay = {},
): Promise<void> {
  const bystander = { key: other.keys.analyst, path: '/api/v1/objects/o', expected };
  const result = await flood(stack, attacks, bystander, meanwhile).finally(recover);
  if (isLong) printResult(attacks, result);
  expect(result.failures).toEqual([]);
  for (const [i, { path, expected }] of attacks.entries()) {
    const statuses = Object.keys(result.statuses[i] ?? {});
    const name = path.slice(0, 50);
    expect([name, statuses.filter((status) => !expected.includes(Number(status)))]).toEqual([name, []]);
  }
  expect(result.peakBytes).toBeLessThan(MEMORY_MAX_BYTES);
  await expectToWork();
}

function printResult(
  attacks: readonly Attack[],
  { statuses, failures, served, slowestMs, peakBytes }: FloodResult,
): void {
  printLine(`${String(expect.getState().currentTestName)}:`);
  for (const [i, { method, path }] of attacks.entries())
    printLine(`  ${method} ${path.slice(0, 50)}: ${JSON.stringify(statuses[i])}`);
  const slowest = `${slowestMs.read.toFixed(0)} ms, of /health/live ${slowestMs.live.toFixed(0)} ms`;
  printLine(`  others: ${String(served)} served, ${String(failures.length)} failed; slowest read ${slowest}`);
  printLine(`  memory: ${String(Math.round(peakBytes / MIB))} MiB`);
}

/** The attacker and the other project can write and read. */
async function expectToWork(): Promise<void> {
  await stack.checkAlive();
  expect((await send(`${new URL(stack.url).origin}/health/ready`, { method: 'GET' })).status).toBe(200);
  for (const { keys } of [attacker, other]) {
    const object = { batch_id: 'after', object_id: 'after', data: [] };
    await post(keys.producer, '/batches', { batch_id: 'after', objects: [] });
    await post(keys.producer, '/objects', object);
    expect((await call(keys.analyst, 'GET', '/objects/after')).status).toBe(200);
    expect((await call(keys.analyst, 'GET', '/objects?page_size=1')).status).toBe(200);
    expect((await call(keys.admin, 'DELETE', '/batches/after?cascade=true')).status).toBeLessThan(300);
  }
}

describe('another project and /health/live are served, and the server needs less than 1 GB, while', () => {
  it('a device sends reports that are large only after decompression', async () => {
    const shapes = [
      { start: '[', repeat: '[],', end: '1]' },
      { start: '[', repeat: '{},', end: '1]' },
      { start: '{', repeat: '"version":1,', end: '"version":1}' },
      { repeat: '[' },
      { start: '["', repeat: '\\u0001', end: '"]' },
    ];
    const headers = { 'Content-Encoding': 'gzip' };
    await replay(
      shapes.map((shape) => {
        const body = { ...shape, times: Math.floor((LARGE + 4 * MIB) / shape.repeat.length), gzip: true };
        return attack(attacker.keys.device, 'POST /firmware', [413], { headers, body, count: times(20, 2) });
      }),
    );
  });

  it('a stranger sends large bodies to an unknown address', async () => {
    const body = {
      start: '{"objects":[',
      repeat: '{"object_id":"a","data":{"n":1}},',
      times: LARGE / 33,
      end: '1]}',
    };
    await replay([attack(null, 'POST /nothing', [404], { body, count: times(200, 20) })]);
  });

  it('a producer sends large batches at once, compressed and plain', async () => {
    const objects = times(90_000, 1_000);
    const batch = (id: string) => ({
      start: `{"batch_id":"${id}","objects":[`,
      repeat: `{"object_id":"${id}-{n}","data":{"n":{n},"note":"${'x'.repeat(550)}"}},`,
      times: objects,
      end: `{"object_id":"${id}-last","data":[]}]}`,
    });
    const sent = [201, 409, 503];
    await replay([
      attack(attacker.keys.producer, 'POST /batches', sent, {
        headers: { 'Content-Encoding': 'gzip' },
        body: { ...batch('gzip'), gzip: true },
        count: times(30, 10),
      }),
    ]);
    await replay([
      attack(attacker.keys.producer, 'POST /batches', sent, { body: batch('plain'), count: times(40, 10) }),
    ]);
  });

  it('a producer sends empty and bad lines, bad objects, invalid JSON and a very long line', async () => {
    const { producer } = attacker.keys;
    const count = times(10, 2);
    const lines = { repeat: '\nx\n', times: times(2_500_000, 50_000) };
    const bad = { start: '{"batch_id":"bad","objects":[', repeat: '{"data":{"":1}},', times: times(99_999, 5_000) };
    const invalid = {
      start: '{"batch_id":"invalid","objects":[',
      repeat: `{"object_id":"invalid-{n}","data":{"note":"${'x'.repeat(600)}"}},`,
      times: times(90_000, 1_000),
      end: 'x]}',
    };
    const line = {
      start: '{"object_id":"a","data":{"k":[',
      repeat: '[],',
      times: (LARGE + 3 * MIB) / 3,
      end: '1]}}\n',
    };
    const bounded = [400, 503];
    const partial = { headers: NDJSON_TYPE, body: lines, count };
    await replay([attack(producer, 'PUT /batches/lines-{request}', [400], partial)]);
    await replay([attack(producer, 'PUT /batches/partial-{request}?mode=partial', bounded, partial)]);
    await replay([
      attack(producer, 'POST /batches?mode=partial', bounded, { body: { ...bad, end: '{}]}' }, count }),
      attack(producer, 'POST /batches', bounded, { body: invalid, count }),
      attack(producer, 'PUT /batches/line-{request}', [413, 503], { headers: NDJSON_TYPE, body: line, count }),
    ]);
  });

  it('an analyst sends expensive queries', async () => {
    const pairs = (count: number): string => {
      const data = Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${String(i)}`, i]));
      return `data=${encodeURIComponent(JSON.stringify(data))}&match=any&count=exact`;
    };
    const fields = { count: times(80, 10), connections: times(40, 5) };
    const { analyst } = attacker.keys;
    await replay([
      attack(analyst, `GET /objects?${pairs(700)}`, [400, 503], fields),
      attack(analyst, `GET /objects?${pairs(100)}`, [200, 503], fields),
      attack(analyst, `GET /batches?${pairs(100)}`, [200, 503], fields),
      attack(analyst, 'GET /objects/aggregate?op=p95&key=k2&by=subject', [200, 503], fields),
    ]);
  });

  it('an admin posts objects to a batch that large batches replace', async () => {
    const replacement = (value: string) => ({
      start: '{"objects":[',
      repeat: `{"object_id":"locked-{n}","data":{"value":"${value}"}},`,
      times: times(90_000, 1_000),
      end: `{"object_id":"locked-last","data":[]}]}`,
    });
    const { admin } = attacker.keys;
    const put = 'PUT /batches/locked?on_conflict=replace';
    const replaces = { count: times(3, 2), connections: 1 };
    const body = { start: '{"batch_id":"locked","object_id":"posted-{request}","data":[]}' };
    await replay([
      attack(admin, put, [200, 503], { body: replacement('one'), ...replaces }),
      attack(admin, put, [200, 503], { body: replacement('two'), ...replaces }),
      attack(admin, 'POST /objects', [201, 503], { body, count: times(400, 40), connections: 20 }),
    ]);
  });

  it('a producer sends many jobs, and a job of the other project does not wait for all of them', async () => {
    const count = times(1_500, 100);
    const body = {
      start: '{"batch_id":"job-{request}","objects":[',
      repeat: '{"object_id":"job-{request}-{n}","data":{"n":{n}}},',
      times: times(200, 20),
      end: '{"object_id":"job-{request}","data":[]}]}',
    };
    const jobs = attack(attacker.keys.producer, 'POST /batches', [202], {
      headers: ASYNC,
      body,
      count,
      connections: 20,
    });
    const countJobs = async (condition: string): Promise<number> => {
      const where = `project_id = ${String(attacker.projectId)} AND ${condition}`;
      return (await stack.sql(`SELECT FROM jobs WHERE ${where}`)).length;
    };
    await replay([jobs], {
      meanwhile: async () => {
        await waitFor(async () => ((await countJobs('true')) >= count / 2 ? true : undefined), WAIT_MS);
        const { id, created_at, finished_at } = await runJobOfOther();
        // Those that ran in its place: with four jobs at a time, a few.
        const finished = `finished_at BETWEEN '${created_at}' AND '${String(finished_at)}'`;
        expect(await countJobs(`job_id < ${id} AND ${finished}`)).toBeLessThan(50);
        const overtaken = await countJobs(
          `job_id < ${id} AND (finished_at > '${String(finished_at)}' OR finished_at IS NULL)`,
        );
        if (isLong) printLine(`the job of the other project overtook ${String(overtaken)} jobs`);
      },
    });
    await waitFor(async () => ((await countJobs(`status <> 'succeeded'`)) === 0 ? true : undefined), WAIT_MS);
  });

  it('two producers send slow streams, and a stream of the other project is stored', async () => {
    const line = `{"object_id":"slow-{request}-{n}","data":{"note":"${'x'.repeat(1_080)}"}}\n`;
    const slow = { headers: NDJSON_TYPE, body: { repeat: line, times: times(90, 2) }, count: 10, isSlow: true };
    await replay(
      [attacker, accomplice].map(({ keys }) => attack(keys.producer, 'PUT /batches/slow-{request}', [201, 503], slow)),
      {
        meanwhile: async () => {
          for (let n = 0; n < times(20, 2); n++) {
            const { status, text } = await stack.call(`/batches/stream-${String(n)}`, {
              method: 'PUT',
              headers: { ...NDJSON_TYPE, 'X-Api-Key': other.keys.producer },
              body: [`{"object_id":"stream-${String(n)}",`, '"data":[]}\n'],
            });
            expect([status, text]).toEqual([201, text]);
            await sleep(times(1_000, 100));
          }
        },
      },
    );
  });

  it('a stranger sends unknown keys and requests documents', async () => {
    const fields = { count: times(1_000, 50), connections: times(30, 5) };
    await replay([
      attack(null, 'GET /objects', [401, 429], {
        headers: { 'X-Api-Key': 'unknown-{request}' },
        count: times(10_000, 200),
        connections: times(100, 20),
      }),
      ...['/problems', '/openapi.json', '/redoc'].map((path) => attack(null, 'GET', [200], { ...fields, path })),
    ]);
  });

  it('an analyst requests large pages and does not read them', async () => {
    const { analyst } = attacker.keys;
    const pages = { count: times(40, 10), isUnread: true };
    const meanwhile = (): Promise<void> => sleep(times(30_000, 0));
    for (const filter of ['batch_id=notes', 'key=page']) {
      const request = `GET /objects?${filter}&page_size=57&count=none`;
      await replay([attack(analyst, request, [200, 503], pages)], { meanwhile });
    }
    await replay([attack(analyst, 'GET /batches/notes', [200, 503], pages)], { meanwhile });
  });

  it('two projects and a stranger do several of these at once', async () => {
    const bytes = { start: '{"objects":[', repeat: '{"object_id":"a","data":{"n":1}},', times: LARGE / 33, end: 'x]}' };
    const count = times(20, 3);
    const lines = { repeat: '\nx\n', times: times(2_500_000, 10_000) };
    const ofProject = ({ keys }: Project): Attack[] => [
      attack(keys.producer, 'POST /batches', [400, 413, 503], { body: bytes, count }),
      attack(keys.producer, 'POST /batches', [400, 413, 503], {
        headers: { 'Content-Encoding': 'gzip' },
        body: { ...bytes, gzip: true },
        count,
      }),
      attack(keys.producer, 'PUT /batches/all-{request}', [400, 503], {
        headers: NDJSON_TYPE,
        body: lines,
        count: times(10, 2),
      }),
      attack(keys.analyst, 'GET /objects?batch_id=notes&page_size=57', [200, 503], { count, isUnread: true }),
      attack(keys.analyst, 'GET /batches/notes', [200, 503], { count, isUnread: true }),
    ];
    await replay([
      ...[attacker, accomplice].flatMap(ofProject),
      attack(null, 'POST /nothing', [404], { body: bytes, count: times(40, 5) }),
    ]);
  });

  it('two producers send many slow streams as jobs', async () => {
    const line = (id: string) => `{"object_id":"${id}","data":{"note":"${'x'.repeat(1_080)}"}}\n`;
    const body = {
      start: Array.from({ length: times(800, 10) }, (_, n) => line(`async-{request}-start-${String(n)}`)).join(''),
      repeat: line('async-{request}-{n}'),
      times: times(30, 1),
    };
    const slow = { headers: { ...NDJSON_TYPE, ...ASYNC }, body, count: times(250, 10), isSlow: true };
    await replay(
      [attacker, accomplice].map(({ keys }) => attack(keys.producer, 'PUT /batches/async-{request}', [202, 503], slow)),
    );
  });

  it('expired rows are deleted as fast as they arrive', async () => {
    const count = times(300_000, 5_000);
    await insertExpiredRows(count);
    await replay([], {
      meanwhile: async () => {
        // Maintenance runs when a process that runs jobs starts, and then every minute.
        await stack.startWorker();
        const isClean = async (): Promise<true | undefined> => ((await countExpiredRows()) === 0 ? true : undefined);
        await waitFor(isClean, WAIT_MS);
      },
    });
  });

  it('a producer writes to a full disk', async () => {
    const body = { start: '{"batch_id":"full-{request}","objects":[]}' };
    const write = async (): Promise<number> =>
      (await call(attacker.keys.producer, 'POST', '/objects', { batch_id: 'locked', object_id: 'full', data: [] }))
        .status;
    await disk.fill();
    await waitFor(async () => ((await write()) === 507 ? true : undefined));
    const writes = { body, count: times(5_000, 100), connections: 20 };
    await replay([attack(attacker.keys.producer, 'POST /batches', [507], writes)], {
      recover: async () => {
        await disk.free();
        await waitFor(async () => ((await write()) === 507 ? undefined : true));
      },
    });
  });
});

describe('a PostgreSQL that is stopped', () => {
  it('makes all requests fail with 503 in time, and /health/live succeed; when it continues, all works', async () => {
    await signalPostgres(disk.files, 'SIGSTOP');
    const reads = { count: times(190, 5), connections: times(19, 5) };
    await replay([attack(attacker.keys.analyst, 'GET /objects?page_size=1', [503], reads)], {
      expected: [503],
      meanwhile: () => sleep(times(45_000, 0)),
      recover: async () => {
        await signalPostgres(disk.files, 'SIGCONT');
        await stack.waitUntilReady();
      },
    });
  });
});

async function runJobOfOther(): Promise<Job> {
  const { id } = await post<Job>(other.keys.producer, '/batches', { batch_id: 'job-of-another', objects: [] }, ASYNC);
  return waitFor(async () => {
    const job = JSON.parse((await call(other.keys.admin, 'GET', `/jobs/${id}`)).text) as Job;
    return job.status === 'succeeded' ? job : undefined;
  }, WAIT_MS);
}

async function insertExpiredRows(count: number): Promise<void> {
  await stack.sql(
    `INSERT INTO jobs (project_id, job_id, key_id, operation, input, media_type, parts, status, attempts, finished_at)
     SELECT $1, n, 1, 'x', '{}', 'application/json', 0, 'succeeded', 1, now() - interval '31 days'
     FROM generate_series(1, $2::int) AS n`,
    [attacker.projectId, count],
  );
  await stack.sql(
    `INSERT INTO idempotency_keys (project_id, key_hash, fingerprint, claim_id, claimed_at, claimed_until, expires_at, status, answer)
     SELECT $1, n::text::bytea, '', n, now(), now(), now() - interval '1 s', 201, 'x'
     FROM generate_series(1, $2::int) AS n`,
    [attacker.projectId, count],
  );
  await stack.sql(
    `INSERT INTO rollup_marks (project_id, subject, hour, marked_at)
     SELECT $1, n::text, now(), now() - interval '25 hours' FROM generate_series(1, $2::int) AS n`,
    [attacker.projectId, count],
  );
}

async function countExpiredRows(): Promise<number> {
  const [row] = await stack.sql<{ count: string }>(`
    SELECT (SELECT count(*) FROM jobs WHERE finished_at < now() - interval '30 days')
      + (SELECT count(*) FROM idempotency_keys WHERE expires_at < now())
      + (SELECT count(*) FROM rollup_marks WHERE marked_at < now() - interval '1 day') AS count`);
  return Number(row?.count);
}

describe('an unknown, revoked, expired or canary key, tried many times', () => {
  it('gets one answer', async () => {
    const keysPath = `/projects/${String(attacker.projectId)}/keys`;
    const create = (fields = {}) =>
      post<{ key: string; key_id: string }>(OPERATOR_KEY, keysPath, { name: 'tried', role: 'analyst', ...fields });
    const [revoked, expired, canary] = [await create(), await create(), await create({ canary: true })];
    await call(OPERATOR_KEY, 'DELETE', `${keysPath}/${revoked.key_id}`);
    await stack.sql(`UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE key_id = $1`, [expired.key_id]);
    const keys = { unknown: 'unknown', revoked: revoked.key, expired: expired.key, canary: canary.key };
    const times: Record<string, number[]> = {};
    const answers = new Set<string>();
    for (let n = 0; n < (isLong ? 1_000 : 20); n++) {
      for (const [name, key] of Object.entries(keys)) {
        const start = performance.now();
        const { status, text } = await call(key, 'GET', '/objects/o');
        (times[name] ??= []).push(performance.now() - start);
        answers.add(`${String(status)} ${text.replace(/"request_id":"[^"]*"/, '')}`);
      }
    }
    expect(Array.from(answers, (answer) => answer.slice(0, 3))).toEqual(['401']);
    if (!isLong) return;
    const medians = Object.entries(times).map(([name, list]) => [name, list.toSorted((a, b) => a - b)[500]] as const);
    printLine(
      `keys that do not work: ${medians.map(([name, ms]) => `${name} ${String(ms?.toFixed(2))} ms`).join(', ')}`,
    );
    const all = medians.map(([, ms]) => ms ?? 0);
    expect(Math.max(...all) / Math.min(...all)).toBeLessThan(1.5);
  });
});

describe('afterwards', () => {
  it('the index is that of the stored objects', async () => {
    expect(await stack.findIndexDifferences()).toEqual([]);
  }, 120_000);
});

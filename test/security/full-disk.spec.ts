import { request, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ADMIN_KEY } from '../cli/stowage.js';
import { Disk } from '../faults/disk.js';
import type { Reply } from '../faults/http.js';
import { Stack } from '../faults/stack.js';
import { addressOfEmbedded } from '../harness/embedded.js';
import { waitFor } from '../jobs/jobs.js';

const JSON_TYPE = { 'Content-Type': 'application/json' };

let stack: Stack;
let disk: Disk;

beforeAll(async () => {
  stack = await Stack.create({ WORKER: 'separate' });
  disk = await Disk.create(stack);
  await stack.startServer();
}, 60_000);
afterAll(async () => {
  await disk.free();
  await stack.close();
});

async function fillDisk(): Promise<void> {
  await disk.fill();
  await waitFor(async () => ((await postBatch('probe-full')).status === 507 ? true : undefined));
}

async function freeDisk(): Promise<void> {
  await disk.free();
  await waitFor(async () => ((await postBatch('probe-free')).status !== 507 ? true : undefined));
}

function send(
  method: string,
  path: string,
  body?: object,
  headers: Record<string, string> = JSON_TYPE,
): Promise<Reply> {
  return stack.call(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

function postBatch(id: string, headers: Record<string, string> = {}): Promise<Reply> {
  const objects = [{ object_id: `${id}-1`, data: { type: 'shoe' } }];
  return send('POST', '/batches', { batch_id: id, objects }, { ...JSON_TYPE, ...headers });
}

/** Sends the headers of a POST and no byte of its body. */
function postWithoutBody(): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { ...JSON_TYPE, 'X-Api-Key': ADMIN_KEY, 'Content-Length': 1_000_000 };
    const outgoing = request(`${stack.url}/batches`, { method: 'POST', headers });
    outgoing.on('error', reject).on('response', (response) => {
      response.destroy();
      resolve(response);
    });
    outgoing.flushHeaders();
  });
}

async function countRows(table: string): Promise<number> {
  return (await sql(`SELECT FROM ${table}`)).length;
}

async function sql(text: string): Promise<object[]> {
  const client = new pg.Client({ ...(await addressOfEmbedded(disk.files)), ssl: false });
  await client.connect();
  try {
    return (await client.query<object>(text)).rows;
  } finally {
    await client.end();
  }
}

/** Counts lines of the server's log at level warn. */
function countLines(pattern: RegExp): number {
  return (stack.server?.output() ?? '').split('\n').filter((line) => line.includes('"level":40') && pattern.test(line))
    .length;
}

describe('while less space is free than DISK_RESERVE_BYTES', () => {
  let job: string;

  beforeAll(async () => {
    expect((await postBatch('before')).status).toBe(201);
    const accepted = await postBatch('queued', { Prefer: 'respond-async' });
    expect(accepted.status).toBe(202);
    job = new URL(accepted.headers.location ?? '').pathname.replace('/api/v1', '');
    // The worker must not take it before the disk is full.
    await sql(`UPDATE graphile_worker._private_jobs SET run_at = now() + interval '1 hour'`);
    await stack.startWorker();
    await fillDisk();
  }, 30_000);

  it('POST, PUT and PATCH get 507 with Retry-After', async () => {
    const patch = { ...JSON_TYPE, 'Content-Type': 'application/merge-patch+json' };
    const replies = [
      await postBatch('new'),
      await postBatch('new', { Prefer: 'respond-async' }),
      await send('PUT', '/batches/new', { objects: [] }),
      await send('POST', '/objects', { batch_id: 'before', object_id: 'new', data: [] }),
      await send('PUT', '/objects/before-1', { data: [] }),
      await send('PATCH', '/objects/before-1', { data: { type: 'boot' } }, patch),
      await send('POST', '/buildings/HQ/rooms/lab/temperatures', { temperature: 21 }),
    ];
    for (const { status, headers, text } of replies) {
      expect([status, headers['retry-after']]).toEqual([507, '60']);
      expect(text).toContain('/problems#insufficient-storage');
    }
    const left = JSON.parse((await send('GET', '/objects/before-1')).text) as { data: unknown };
    expect(JSON.stringify(left.data)).toContain('shoe');
  });

  it('a request gets 507 before its body is read', async () => {
    expect((await postWithoutBody()).statusCode).toBe(507);
  });

  it('a request without a key gets 401, and one to an unknown address 404', async () => {
    expect((await send('POST', '/batches', {}, { ...JSON_TYPE, 'X-Api-Key': 'none' })).status).toBe(401);
    expect((await send('POST', '/nothing', {})).status).toBe(404);
  });

  it('reads and deletes are executed, and the server is ready', async () => {
    expect((await send('GET', '/batches')).status).toBe(200);
    expect((await send('GET', '/objects?key=type')).status).toBe(200);
    expect((await send('POST', '/objects/search', { key: 'type' })).status).toBe(200);
    expect((await send('DELETE', '/objects/before-1')).status).toBe(204);
    expect((await fetch(new URL('/health/ready', stack.url))).status).toBe(200);
  });

  it('no job is started', async () => {
    await waitFor(async () => ((await countRows('job_workers')) === 0 ? true : undefined));
    await sql('UPDATE graphile_worker._private_jobs SET run_at = now()');
    expect(JSON.parse((await send('GET', job)).text)).toMatchObject({ status: 'queued' });
  }, 30_000);

  it('one line is logged', () => {
    expect(countLines(/0 MiB are free .* writes are rejected/)).toBe(1);
  });
});

describe('when enough space is free again', () => {
  beforeAll(freeDisk, 30_000);

  it('writes are accepted, and jobs that waited are run', async () => {
    expect((await postBatch('after')).status).toBe(201);
    await waitFor(async () => ((await send('GET', '/batches/queued')).status === 200 ? true : undefined), 30_000);
  }, 40_000);

  it('one line is logged', () => {
    expect(countLines(/ are free .* writes are accepted/)).toBe(1);
  });

  it('the index is that of the stored objects', async () => {
    expect(await stack.findIndexDifferences()).toEqual([]);
  });
});

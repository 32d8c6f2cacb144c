import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Config } from '#platform';
import { NdjsonBody } from '#http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { JobStore, type ClaimedJob, type JobKey } from './job.store.js';
import { KeptBody } from './kept-body.js';
import { Maintenance } from './maintenance.js';
import { WorkerRegistry } from './worker-registry.js';

const OPERATION = 'test.operation';
const MIB = 1024 ** 2;

let db: TestDatabase;
let jobs: JobStore;
let bodies: KeptBody;
let registry: WorkerRegistry;
let key: JobKey;

beforeAll(async () => {
  db = await cloneDatabase();
  jobs = new JobStore(db.database);
  await jobs.onModuleInit();
  bodies = new KeptBody(jobs, new Config({ STOWAGE_KEY_SECRET: 'a secret of the tests, 32 characters' }));
  registry = new WorkerRegistry(db.database);
});
beforeEach(async () => {
  await db.sql('TRUNCATE jobs, job_parts, job_workers, graphile_worker._private_jobs');
  key = { projectId: 1, jobId: db.sequence.next().toString() };
});
afterAll(() => db.close());

/** A stream of three parts; breaks off after the second where it `breaks`. */
function stream(breaks = false): NdjsonBody {
  return new NdjsonBody(
    // eslint-disable-next-line @typescript-eslint/require-await -- what arrives over the network does so later
    (async function* () {
      yield Buffer.alloc(MIB, 'a');
      yield Buffer.alloc(MIB, 'b');
      if (breaks) throw new Error('the client has gone');
      yield Buffer.from('c');
    })(),
  );
}

async function accept(parts: number): Promise<void> {
  const request = { keyId: '1', operation: OPERATION, input: '{}', mediaType: 'application/x-ndjson', body: null };
  await jobs.accept(db.database, { ...key, ...request, parts });
}

async function claim(...operations: string[]): Promise<ClaimedJob> {
  const job = await jobs.claim(key, 'worker', operations.length > 0 ? operations : [OPERATION]);
  if (job === null) throw new Error('the job was not claimed');
  return job;
}

async function partsKept(): Promise<number> {
  return (await db.sql('SELECT FROM job_parts WHERE job_id = $1', [key.jobId])).length;
}

async function read(job: ClaimedJob): Promise<string> {
  return text((bodies.open(key, job) as NdjsonBody).bytes);
}

describe('the kept body of a job', () => {
  it('is what came', async () => {
    await bodies.keep(key, stream(), accept);
    expect(await read(await claim())).toBe(`${'a'.repeat(MIB)}${'b'.repeat(MIB)}c`);
  });

  it('may be empty', async () => {
    await bodies.keep(key, new NdjsonBody(Readable.from([])), accept);
    expect(await read(await claim())).toBe('');
  });

  it.each([0, 1, 2])('is never read as a shorter one when part %i is missing', async (part) => {
    await bodies.keep(key, stream(), accept);
    const job = await claim();
    await db.sql('DELETE FROM job_parts WHERE part = $1', [part]);
    await expect(read(job)).rejects.toThrow(/is not there/);
  });

  it('ends early where another worker has succeeded, whose note undoes this attempt', async () => {
    await bodies.keep(key, stream(), accept);
    const job = await claim();
    expect(await jobs.succeed(db.database, key, { status: 200, text: '{}' })).toBe(true);
    expect(await read(job)).toBe('');
    expect(await jobs.succeed(db.database, key, { status: 200, text: '{}' })).toBe(false);
  });

  it('stays when nobody knows whether its job was accepted', async () => {
    const lost = bodies.keep(key, stream(), async (parts) => {
      await accept(parts);
      throw new Error('the answer was lost');
    });
    await expect(lost).rejects.toThrow('the answer was lost');
    expect(await read(await claim())).toHaveLength(2 * MIB + 1);
  });

  it('is deleted when the client goes before its end', async () => {
    await expect(bodies.keep(key, stream(true), accept)).rejects.toThrow('the client has gone');
    expect(await partsKept()).toBe(0);
  });
});

describe('maintenance', () => {
  const run = (): Promise<void> => new Maintenance(db.database, registry).run();
  const age = (hours: number, part: number): Promise<unknown> =>
    db.sql(`UPDATE job_parts SET kept_at = now() - $1 * interval '1 hour' WHERE part = $2`, [hours, part]);

  it('keeps an upload that began days ago and goes on', async () => {
    key.jobId = '1';
    await bodies.keep(key, stream(), () => Promise.resolve());
    await age(72, 0);
    await age(30, 1);
    await age(23, 2);
    await run();
    expect(await partsKept()).toBe(3);
  });

  it('deletes an upload whose newest part is older than a day, unless there is its job', async () => {
    await bodies.keep(key, stream(), accept);
    for (const part of [0, 1, 2]) await age(25, part);
    await run();
    expect(await partsKept()).toBe(3);
    await db.sql('DELETE FROM jobs');
    await run();
    expect(await partsKept()).toBe(0);
  });

  it('does what other libs have added', async () => {
    const maintenance = new Maintenance(db.database, registry);
    maintenance.add(
      `DELETE FROM job_workers WHERE worker_id = 'one'`,
      `DELETE FROM job_workers WHERE worker_id = 'two'`,
    );
    await registry.beat(['one', 'two', 'three']);
    await maintenance.run();
    expect(await db.sql('SELECT worker_id FROM job_workers')).toEqual([{ worker_id: 'three' }]);
  });

  it('frees what a worker holds that never said that it lives, once half a minute is over', async () => {
    await bodies.keep(key, stream(), accept);
    await db.sql('UPDATE jobs SET status = $1, worker_id = $2', ['running', 'worker']);
    const lock = (seconds: number): Promise<unknown> =>
      db.sql(
        `UPDATE graphile_worker._private_jobs SET locked_by = 'worker', locked_at = now() - $1 * interval '1 second'`,
        [seconds],
      );
    const isLocked = async (): Promise<boolean> =>
      (await db.sql('SELECT FROM graphile_worker.jobs WHERE locked_by IS NOT NULL')).length > 0;
    await lock(20);
    await run();
    expect(await isLocked()).toBe(true);
    await lock(40);
    await registry.beat(['worker']);
    await run();
    expect(await isLocked()).toBe(true);
    await registry.beat(['other']);
    await db.sql(`DELETE FROM job_workers WHERE worker_id = 'worker'`);
    await run();
    expect([await isLocked(), await jobs.statusOf(key)]).toEqual([false, 'queued']);
  });
});

describe('a job of an operation that this version does not know', () => {
  it('is not begun, and loses no attempt', async () => {
    await bodies.keep(key, stream(), accept);
    for (let i = 0; i < 3; i++) expect(await jobs.claim(key, 'worker', ['another'])).toBeNull();
    expect(await jobs.statusOf(key)).toBe('queued');
    expect((await claim('another', OPERATION)).attempts).toBe(1);
  });
});

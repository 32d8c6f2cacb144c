import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DiskReserve } from '#database';
import { ByteBudget, Config } from '#platform';
import { RequestStream, Problem } from '#http';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { sealedJobs } from '../../../test/harness/sealed-jobs.js';
import { JobStore } from './job.store.js';
import type { PaceLimits } from './stream-pace.js';
import { StreamParts } from './stream-parts.js';
import { StreamReceiver, type ReceivedStream } from './stream-receiver.js';

const KIB = 1024;
const MIB = KIB ** 2;
const PROJECT = 1;
const NO_WAITING = { waitMs: 0, waitingPerProject: 0, waitingTotal: 0 };
/** No stream is too slow. */
const ANY_PACE: PaceLimits = { pauseMs: 3_600_000, bytesPerSecond: 1 };
const NO_DISK = DiskReserve.none();

let db: TestDatabase;
let jobs: JobStore;

beforeAll(async () => {
  db = await cloneDatabase();
  jobs = new JobStore(db.database, new Config({}), sealedJobs(db.database));
});
afterAll(() => db.close());

/** A stream whose bytes the test sends. */
class Client {
  readonly body: RequestStream;
  private readonly sent: (Buffer | Error | null)[] = [];
  private wake: () => void = () => undefined;
  /** Whether the server has begun to read. */
  isRead = false;

  constructor() {
    this.body = new RequestStream('application/x-ndjson', this.bytes(), 'client', (error) => {
      this.send(error);
    });
  }

  /** @param next bytes, the end, or an error */
  send(next: Buffer | Error | null): void {
    this.sent.push(next);
    this.wake();
  }

  private async *bytes(): AsyncGenerator<Buffer> {
    this.isRead = true;
    for (;;) {
      const next = this.sent.shift();
      if (next === null) return;
      if (next instanceof Error) throw next;
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

interface Options {
  pace?: PaceLimits;
  memoryBytes?: number;
  storedBytes?: number;
  disk?: DiskReserve;
}

function receiver({
  memoryBytes = 16 * MIB,
  storedBytes = 64 * MIB,
  disk = NO_DISK,
  pace = ANY_PACE,
}: Options = {}): StreamReceiver {
  const budget = new ByteBudget({ totalBytes: memoryBytes, ...NO_WAITING });
  // Four slots for streams, two for a project.
  const config = new Config({ DATABASE_POOL_MAX: '14' });
  const parts = new StreamParts(jobs, db.sequence, budget, disk, config, storedBytes);
  return new StreamReceiver(parts, config, pace);
}

function receive(streams: StreamReceiver, { body }: Client, projectId = PROJECT): Promise<ReceivedStream> {
  return streams.receive(projectId, db.sequence.next().toString(), body);
}

async function read({ body }: ReceivedStream): Promise<string> {
  let text = '';
  for await (const bytes of body.bytes) text += bytes.toString();
  return text;
}

async function storedBytes(): Promise<number> {
  const [row] = await db.sql<{ bytes: string }>('SELECT coalesce(sum(octet_length(bytes)), 0) AS bytes FROM job_parts');
  return Number(row?.bytes);
}

async function waitForStored(bytes: number): Promise<void> {
  while ((await storedBytes()) < bytes) await sleep(5);
}

describe('a stream', () => {
  it('that is short is never stored', async () => {
    const client = new Client();
    client.send(Buffer.from('a'));
    client.send(Buffer.from('b'));
    client.send(null);
    const received = await receive(receiver(), client);
    expect([received.body.source, await storedBytes(), await read(received)]).toEqual(['received', 0, 'ab']);
    await received.free();
  });

  it('that is fast from its start is read while it arrives, and never stored', async () => {
    const client = new Client();
    client.send(Buffer.alloc(MIB, 'a'));
    const received = await receive(receiver(), client);
    expect([received.body.source, await storedBytes()]).toEqual(['client', 0]);
    client.send(Buffer.from('b'));
    client.send(null);
    expect(await read(received)).toBe(`${'a'.repeat(MIB)}b`);
    await received.free();
  });

  it('that is slow is ready when it has arrived, and its parts are deleted when it is freed', async () => {
    const client = new Client();
    const receiving = receive(receiver(), client);
    client.send(Buffer.alloc(70 * KIB, 'a'));
    await waitForStored(70 * KIB);
    client.send(Buffer.from('b'));
    client.send(null);
    const received = await receiving;
    expect([received.body.source, await read(received)]).toEqual(['received', `${'a'.repeat(70 * KIB)}b`]);
    await received.free();
    expect(await storedBytes()).toBe(0);
  });

  it('that becomes fast is read while the rest arrives', async () => {
    const client = new Client();
    const receiving = receive(receiver(), client);
    client.send(Buffer.alloc(70 * KIB, 'a'));
    await waitForStored(70 * KIB);
    client.send(Buffer.alloc(MIB, 'b'));
    const received = await receiving;
    client.send(Buffer.from('c'));
    client.send(null);
    expect(received.body.source).toBe('client');
    expect(await read(received)).toBe(`${'a'.repeat(70 * KIB)}${'b'.repeat(MIB)}c`);
    await received.free();
  });

  it('is stored in small parts while there is no memory for a large one', async () => {
    const client = new Client();
    client.send(Buffer.alloc(64 * KIB, 'a'));
    client.send(Buffer.alloc(64 * KIB, 'b'));
    client.send(null);
    const received = await receive(receiver({ memoryBytes: MIB }), client);
    expect(await db.sql('SELECT octet_length(bytes) AS bytes FROM job_parts ORDER BY part')).toEqual([
      { bytes: 64 * KIB },
      { bytes: 64 * KIB },
    ]);
    expect(await read(received)).toBe(`${'a'.repeat(64 * KIB)}${'b'.repeat(64 * KIB)}`);
    await received.free();
  });

  it('that waits until its parts are deleted as abandoned is unavailable', async () => {
    const client = new Client();
    const receiving = receive(receiver(), client);
    client.send(Buffer.alloc(70 * KIB));
    await waitForStored(70 * KIB);
    client.send(null);
    const received = await receiving;
    await db.sql('DELETE FROM job_parts');
    await expect(read(received)).rejects.toMatchObject({ slug: 'unavailable' });
    await received.free();
  });

  it('that breaks off leaves nothing behind', async () => {
    const client = new Client();
    const receiving = receive(receiver(), client);
    client.send(Buffer.alloc(70 * KIB));
    await waitForStored(70 * KIB);
    client.send(new Error('the client has gone'));
    await expect(receiving).rejects.toThrow('the client has gone');
    expect(await storedBytes()).toBe(0);
  });

  it('is rejected when slow streams of its project take half of the disk space, which is free again afterwards', async () => {
    const streams = receiver({ memoryBytes: MIB, storedBytes: 4 * MIB });
    const sendAll = (client: Client, parts: number): void => {
      for (let i = 0; i < parts; i++) client.send(Buffer.alloc(64 * KIB));
      client.send(null);
    };
    const [first, second, third] = [new Client(), new Client(), new Client()];
    sendAll(first, 20);
    const received = await receive(streams, first);
    sendAll(second, 1);
    await expect(receive(streams, second)).rejects.toMatchObject({ slug: 'unavailable' });
    await received.free();
    sendAll(third, 20);
    await (await receive(streams, third)).free();
    expect(await storedBytes()).toBe(0);
  });

  it('is rejected with 413 where it takes more of the disk than a project may', async () => {
    const client = new Client();
    for (let i = 0; i < 40; i++) client.send(Buffer.alloc(64 * KIB));
    const receiving = receive(receiver({ memoryBytes: MIB, storedBytes: 4 * MIB }), client);
    await expect(receiving).rejects.toMatchObject({ slug: 'too-large' });
    expect(await storedBytes()).toBe(0);
  });

  it('is rejected while the disk is nearly full, before its next part is stored', async () => {
    const disk = { isLow: true } as DiskReserve;
    const [slow, short] = [new Client(), new Client()];
    slow.send(Buffer.alloc(70 * KIB));
    await expect(receive(receiver({ memoryBytes: MIB, disk }), slow)).rejects.toMatchObject({
      slug: 'insufficient-storage',
    });
    short.send(null);
    await (await receive(receiver({ disk }), short)).free();
  });

  it('is read in turns: 32 streams of a project at a time, and those of another one beside them', async () => {
    const streams = receiver();
    const clients = Array.from({ length: 40 }, () => new Client());
    const receiving = clients.map((client) => receive(streams, client));
    const other = new Client();
    other.send(null);
    await (await receive(streams, other, PROJECT + 1)).free();
    expect(clients.filter(({ isRead }) => isRead)).toHaveLength(32);
    for (const client of clients) client.send(null);
    for (const one of receiving) await (await one).free();
  });

  it('takes as much memory as it has bytes, however small its pieces are', async () => {
    const client = new Client();
    for (let i = 0; i < 50_000; i++) client.send(Buffer.from('a'));
    client.send(null);
    const received = await receive(receiver(), client);
    const blocks: number[] = [];
    for await (const { length } of received.body.bytes) blocks.push(length);
    expect([blocks.length, blocks.reduce((sum, length) => sum + length)]).toEqual([4, 50_000]);
    await received.free();
  });
});

describe('a stream that is read while it arrives', () => {
  /** A fast stream of a project that has begun to be read. */
  async function begun(streams: StreamReceiver, projectId = PROJECT): Promise<[Client, ReceivedStream]> {
    const client = new Client();
    client.send(Buffer.alloc(MIB));
    return [client, await receive(streams, client, projectId)];
  }
  const errorOf = (received: ReceivedStream): Promise<unknown> => read(received).catch((error: unknown) => error);

  it('fails when its client pauses for too long', async () => {
    const [, received] = await begun(receiver({ pace: { pauseMs: 20, bytesPerSecond: MIB } }));
    const error = await errorOf(received);
    expect(error).toBeInstanceOf(Problem);
    expect(error).toMatchObject({ slug: 'request-timeout' });
    await received.free();
  });

  it('fails when the disk becomes nearly full', async () => {
    const disk = { isLow: false };
    const [client, received] = await begun(receiver({ disk: disk as DiskReserve }));
    client.send(Buffer.from('a'));
    client.send(null);
    disk.isLow = true;
    expect(await errorOf(received)).toMatchObject({ slug: 'insufficient-storage' });
    await received.free();
  });

  it('does not count the time in which the server does not read', async () => {
    const [client, received] = await begun(receiver({ pace: { pauseMs: 200, bytesPerSecond: MIB } }));
    for (let i = 0; i < 10; i++) client.send(Buffer.from('a'));
    client.send(null);
    let sizeBytes = 0;
    for await (const bytes of received.body.bytes) {
      sizeBytes += bytes.length;
      if (bytes.length === 1) await sleep(50);
    }
    expect(sizeBytes).toBe(MIB + 10);
    await received.free();
  });

  it('has one of two slots of its project, and a further one is stored until it has a slot, or has arrived', async () => {
    const streams = receiver();
    const [, first] = await begun(streams);
    const [, second] = await begun(streams);
    const client = new Client();
    client.send(Buffer.alloc(MIB, 'a'));
    const third = receive(streams, client);
    await waitForStored(MIB);
    const [, other] = await begun(streams, PROJECT + 1);
    expect(other.body.source).toBe('client');
    await first.free();
    client.send(Buffer.alloc(MIB, 'b'));
    const received = await third;
    expect(received.body.source).toBe('client');
    client.send(null);
    expect(await read(received)).toBe(`${'a'.repeat(MIB)}${'b'.repeat(MIB)}`);
    for (const one of [second, other, received]) await one.free();
    expect(await storedBytes()).toBe(0);
  });

  it('is not fast when its bytes have waited for the server', async () => {
    const streams = receiver();
    const clients = Array.from({ length: 64 }, () => new Client());
    // They have the turns of the project for two seconds.
    const receiving = clients.map((client) => receive(streams, client));
    const waiting = new Client();
    waiting.send(Buffer.alloc(MIB));
    const later = receive(streams, waiting);
    await waitForStored(MIB);
    waiting.send(null);
    expect((await later).body.source).toBe('received');
    await (await later).free();
    for (const client of clients) client.send(null);
    for (const one of receiving) await (await one).free();
  });
});

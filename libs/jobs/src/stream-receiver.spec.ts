import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ByteBudget, Config } from '#platform';
import { NdjsonBody, Problem } from '#http';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { JobBodyStore } from './job-body.store.js';
import { JobStore } from './job.store.js';
import { StreamReceiver, type ReceivedStream, type StreamLimits } from './stream-receiver.js';

const KIB = 1024;
const MIB = KIB ** 2;
const PROJECT = 1;
const NO_WAITING = { waitMs: 0, waitingPerProject: 0, waitingTotal: 0 };
const LIMITS: StreamLimits = { storedBytes: 64 * MIB, pauseMs: 60_000, bytesPerSecond: MIB };

let db: TestDatabase;
let jobs: JobStore;

beforeAll(async () => {
  db = await cloneDatabase();
  jobs = new JobStore(db.database, new Config({}));
});
afterAll(() => db.close());

/** A stream whose bytes the test sends. */
class Client {
  readonly body: NdjsonBody;
  private readonly sent: (Buffer | Error | null)[] = [];
  private wake: () => void = () => undefined;

  constructor() {
    this.body = new NdjsonBody(this.bytes(), 'client', (error) => {
      this.send(error);
    });
  }

  /** @param next bytes, the end, or an error */
  send(next: Buffer | Error | null): void {
    this.sent.push(next);
    this.wake();
  }

  private async *bytes(): AsyncGenerator<Buffer> {
    for (;;) {
      const next = this.sent.shift();
      if (next === null) return;
      if (next instanceof Error) throw next;
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

function receiver(memoryBytes = 16 * MIB, limits: Partial<StreamLimits> = {}): StreamReceiver {
  const budget = new ByteBudget({ totalBytes: memoryBytes, ...NO_WAITING });
  const bodies = new JobBodyStore(jobs, db.sequence, budget, new Config({}));
  return new StreamReceiver(bodies, { ...LIMITS, ...limits });
}

function receive(streams: StreamReceiver, { body }: Client): Promise<ReceivedStream> {
  return streams.receive(PROJECT, db.sequence.next().toString(), body);
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
    const received = await receive(receiver(MIB), client);
    expect(await db.sql('SELECT octet_length(bytes) AS bytes FROM job_parts ORDER BY part')).toEqual([
      { bytes: 64 * KIB },
      { bytes: 64 * KIB },
    ]);
    expect(await read(received)).toBe(`${'a'.repeat(64 * KIB)}${'b'.repeat(64 * KIB)}`);
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
    const streams = receiver(MIB, { storedBytes: 4 * MIB });
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
});

describe('a stream that is read while it arrives', () => {
  it('fails when its client pauses for too long', async () => {
    const client = new Client();
    client.send(Buffer.alloc(MIB));
    const received = await receive(receiver(16 * MIB, { pauseMs: 20 }), client);
    const error: unknown = await read(received).catch((one: unknown) => one);
    expect(error).toBeInstanceOf(Problem);
    expect(error).toMatchObject({ slug: 'request-timeout' });
    await received.free();
  });

  it('does not count the time in which the server does not read', async () => {
    const client = new Client();
    for (let i = 0; i < 4; i++) client.send(Buffer.alloc(MIB));
    client.send(null);
    const received = await receive(receiver(16 * MIB, { pauseMs: 20, bytesPerSecond: 1 }), client);
    let sizeBytes = 0;
    for await (const bytes of received.body.bytes) {
      sizeBytes += bytes.length;
      await sleep(25);
    }
    expect(sizeBytes).toBe(4 * MIB);
    await received.free();
  });
});

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';

/** More than the slots of all projects for streams, and than the connections of the pool. */
const STREAMS = 30;
/** Lines of more than a part of a slow stream, 64 KiB. */
const LINES = 2_000;

let api: TestApi;
let slow: TestProject;
let other: TestProject;

beforeAll(async () => {
  api = await TestApi.start({ WORKER: 'separate' });
  [slow, other] = [await api.project(), await api.project()];
});
afterAll(() => api.stop());

const linesOf = (name: string, first: number): string =>
  Array.from(
    { length: LINES },
    (_, i) => `{"object_id":"${name}-${String(first + i)}","data":{"n":${String(i)}}}\n`,
  ).join('');
const chunk = (lines: string): string => `${Buffer.byteLength(lines).toString(16)}\r\n${lines}\r\n`;

async function begin(name: string): Promise<Socket> {
  const socket = connect({ port: Number(new URL(api.origin).port), host: '127.0.0.1' });
  await once(socket, 'connect');
  socket.write(
    `PUT /api/v1/batches/${name} HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${slow.keys.producer}\r\n` +
      'Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n' +
      chunk(linesOf(name, 0)),
  );
  return socket;
}

async function storedParts(): Promise<number> {
  return (await api.db.sql('SELECT FROM job_parts WHERE project_id = $1', [slow.projectId])).length;
}

/** The transactions of this database, except that of the question. */
async function openTransactions(): Promise<number> {
  const open = await api.db.sql(
    `SELECT FROM pg_locks JOIN pg_database AS d ON d.oid = database
     WHERE datname = current_database() AND locktype = 'relation' AND relation = 'objects'::regclass`,
  );
  return open.length;
}

describe('streams that are slower than the server', () => {
  it('hold no transaction and no slot, and are stored when they have arrived', async () => {
    const names = Array.from({ length: STREAMS }, (_, i) => `slow-${String(i)}`);
    const sockets = await Promise.all(names.map(begin));
    while ((await storedParts()) < STREAMS) await sleep(10);
    expect(await openTransactions()).toBe(0);

    const quick = await api.call('PUT', '/batches/quick', {
      key: other.keys.producer,
      body: linesOf('quick', 0),
      headers: { 'Content-Type': 'application/x-ndjson' },
    });
    expect([quick.status, quick.json<{ object_count: number }>().object_count]).toEqual([201, LINES]);

    const responses = sockets.map((socket) => text(socket));
    for (const [i, socket] of sockets.entries()) socket.write(`${chunk(linesOf(names[i] ?? '', LINES))}0\r\n\r\n`);
    for (const response of responses) {
      expect(await response).toMatch(new RegExp(`^HTTP/1.1 201 [^]*"object_count":${String(2 * LINES)}`));
    }
    const stored = await api.call('GET', '/batches/slow-0', { key: slow.keys.analyst });
    const ids = stored.json<{ objects: { object_id: string }[] }>().objects.map(({ object_id }) => object_id);
    expect(ids).toEqual(Array.from({ length: 2 * LINES }, (_, i) => `slow-0-${String(i)}`));
    expect(await storedParts()).toBe(0);
  });

  it('leave nothing behind when their clients leave', async () => {
    const sockets = await Promise.all(['left-0', 'left-1'].map(begin));
    while ((await storedParts()) < sockets.length) await sleep(10);
    for (const socket of sockets) socket.destroy();
    while ((await storedParts()) > 0) await sleep(10);
    expect(await api.db.sql(`SELECT FROM batches WHERE batch_id LIKE 'left-%'`)).toEqual([]);
  });
});

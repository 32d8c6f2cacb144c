import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { DatabasePool } from './database-pool.js';
import { isConnectionLoss } from './sqlstates.js';

let server: Server;
let pool: DatabasePool;

beforeAll(async () => {
  server = createServer((socket) => {
    socket.once('data', () => socket.resetAndDestroy());
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  pool = new DatabasePool({ host: '127.0.0.1', port, user: 'stowage', database: 'stowage', ssl: false });
});
afterAll(async () => {
  await pool.end();
  server.close();
});

it('reports a connection that is reset before it is open as lost, for both ways to connect', async () => {
  const rejected: unknown = await pool.connect().catch((error: unknown) => error);
  const passed = await new Promise<unknown>((resolve) => {
    pool.connect((error) => {
      resolve(error);
    });
  });
  const reset = { code: 'ECONNRESET', syscall: 'read' };
  expect([rejected, passed]).toMatchObject([reset, reset]);
  expect([rejected, passed].map(isConnectionLoss)).toEqual([true, true]);
});

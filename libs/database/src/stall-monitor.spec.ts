import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { urlOf } from '../../../test/harness/tables.js';
import { Database } from './database.js';
import { DatabaseStalledError } from './stall-monitor.js';
import { isConnectionLoss } from './sqlstates.js';

const SILENT = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** Forwards connections to the database, and nothing while it is stopped, as a process or a network that hangs does. */
class Forwarder {
  private readonly sockets = new Set<Socket>();
  private isStopped = false;
  private constructor(private readonly server: Server) {}

  static async to({ address }: TestDatabase): Promise<Forwarder> {
    const path = `${address.host}/.s.PGSQL.${String(address.port)}`;
    const server = createServer((client) => {
      const upstream = connect(path);
      client.pipe(upstream).pipe(client);
      for (const socket of [client, upstream]) forwarder.add(socket);
    });
    const forwarder = new Forwarder(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return forwarder;
  }

  urlOf({ address }: TestDatabase): string {
    const { port } = this.server.address() as { port: number };
    return urlOf({ ...address, host: '127.0.0.1', port });
  }

  stop(): void {
    this.isStopped = true;
    for (const socket of this.sockets) socket.pause();
  }

  resume(): void {
    this.isStopped = false;
    for (const socket of this.sockets) socket.resume();
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private add(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
    if (this.isStopped) socket.pause();
  }
}

let db: TestDatabase;
let forwarder: Forwarder;
let database: Database;

beforeEach(async () => {
  db = await cloneDatabase();
  forwarder = await Forwarder.to(db);
  const stall = { checkEveryMs: 10, timeoutMs: 100 };
  const at = forwarder.urlOf(db);
  database = await Database.connect({ at, poolMax: 6, entities: [], migrations: [], logger: SILENT, stall });
});
afterEach(async () => {
  forwarder.resume();
  await database.close();
  forwarder.close();
  await db.close();
});

const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => error,
  );

describe('a database that keeps its connections open but does not respond', () => {
  it('makes the statements in progress fail, and later ones at once', async () => {
    // Two open connections; one that is opened now has a time limit of its own.
    await Promise.all([1, 2].map(() => database.query('SELECT pg_sleep(0.1)')));
    forwarder.stop();
    const [first, second] = await Promise.all([
      errorOf(database.query('SELECT 1')),
      errorOf(database.transactionOnce((tx) => tx.query('SELECT 1'))),
    ]);
    expect([first, second].map(isConnectionLoss)).toEqual([true, true]);
    expect(await errorOf(database.query('SELECT 1'))).toBeInstanceOf(DatabaseStalledError);
    expect(await errorOf(database.reserved.query('SELECT 1'))).toBeInstanceOf(DatabaseStalledError);
    expect(await errorOf(database.transaction((tx) => tx.query('SELECT 1')))).toBeInstanceOf(DatabaseStalledError);
  });

  it('is used again when it responds', async () => {
    forwarder.stop();
    await errorOf(database.query('SELECT 1'));
    expect(await errorOf(database.query('SELECT 1'))).toBeInstanceOf(DatabaseStalledError);
    forwarder.resume();
    let result: unknown = new DatabaseStalledError();
    while (result instanceof Error) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      result = await database.query('SELECT 1 AS one').catch((error: unknown) => error);
    }
    expect(result).toEqual([{ one: 1 }]);
  });
});

it('a statement may take longer than the checks of the connection', async () => {
  expect(await database.query(`SELECT pg_sleep(0.5), 1 AS one`)).toMatchObject([{ one: 1 }]);
});

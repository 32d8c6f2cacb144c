import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { cloneDatabase, type TestDatabase } from '../../../test/harness/database.js';
import { Database } from './database.js';
import { NotificationListener } from './notification-listener.js';

const TIMES = { checkEveryMs: 20, currentForMs: 5_000, retryMinMs: 10, retryMaxMs: 100 };

let db: TestDatabase;
let listener: NotificationListener;
let received: string[];
let logged: string[];

beforeAll(async () => {
  db = await cloneDatabase();
});
afterAll(() => db.close());
afterEach(() => listener.stop());

function start(database: Database): void {
  received = [];
  logged = [];
  const append =
    (to: string[]) =>
    (text: string): void => {
      to.push(text);
    };
  const logger = { log: append(logged), warn: append(logged) };
  listener = new NotificationListener(database, 'things', append(received), logger, TIMES);
  listener.start();
}

async function until(holds: () => boolean): Promise<void> {
  for (let rounds = 0; !holds(); rounds++) {
    if (rounds > 2_000) throw new Error('it did not become true');
    await sleep(5);
  }
}

const notify = (payload: string): Promise<unknown> => db.database.query(`SELECT pg_notify('things', $1)`, [payload]);
const isCurrent = (): boolean => listener.isCurrent(listener.session, performance.now());

it('receives the notifications of committed transactions, in their order', async () => {
  start(db.database);
  await until(isCurrent);
  await db.database.transaction(async (tx) => {
    await tx.query(`SELECT pg_notify('things', 'rolled back')`);
    tx.setRollbackOnly();
  });
  await notify('1');
  await notify('2');
  await until(() => received.length === 2);
  expect(received).toEqual(['1', '2']);
});

it('is current from the first notification to itself on, for 5 seconds', async () => {
  start(db.database);
  expect(listener.isCurrent(listener.session, performance.now())).toBe(false);
  await until(isCurrent);
  expect(listener.isCurrent(listener.session, performance.now() + 5_000 + TIMES.checkEveryMs)).toBe(false);
});

it('connects again after its connection was lost, with another session', async () => {
  start(db.database);
  await until(isCurrent);
  const { session } = listener;
  await db.database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'stowage listener'`,
  );
  await until(() => listener.session !== session);
  expect(listener.isCurrent(session, performance.now())).toBe(false);
  await until(isCurrent);
  expect(listener.session).toBeGreaterThan(session);
  await notify('later');
  await until(() => received.includes('later'));
  expect(logged).toEqual([
    'notifications of things do not arrive: terminating connection due to administrator command',
    'notifications of things arrive again',
  ]);
});

it('closes its connection when it stops', async () => {
  start(db.database);
  await until(isCurrent);
  await listener.stop();
  expect(listener.session).toBe(0);
  // The backend of a connection ends a moment later.
  for (let open = 1; open > 0;) {
    const rows = await db.database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'stowage listener'`,
    );
    open = rows.length;
  }
});

it('is never current behind a pooler that accepts LISTEN and delivers nothing, and warns once', async () => {
  const pooler = await startPooler(db.address);
  const { port } = pooler.address() as AddressInfo;
  const database = await Database.connect({
    at: { ...db.address, host: '127.0.0.1', port },
    poolMax: 6,
    entities: [],
    migrations: [],
    logger: { log: () => undefined, warn: () => undefined, error: () => undefined },
  });
  try {
    start(database);
    let wasCurrent = false;
    await until(() => {
      wasCurrent ||= isCurrent();
      return listener.session > 2;
    });
    expect(wasCurrent).toBe(false);
    expect(logged).toEqual([
      'notifications of things do not arrive: no notification arrives; a connection pooler must work in session mode',
    ]);
  } finally {
    await listener.stop();
    await database.close();
    pooler.close();
  }
});

/** Passes everything on but notifications, as a pooler in transaction mode does. */
async function startPooler({ host, port }: { host: string; port: number }): Promise<Server> {
  const isPath = host.startsWith('/');
  const pooler = createServer((client) => {
    const server: Socket = isPath ? connect(`${host}/.s.PGSQL.${String(port)}`) : connect(port, host);
    client.on('error', () => undefined).pipe(server);
    server.on('error', () => undefined).on('close', () => client.destroy());
    // A NotificationResponse begins with A, and arrives alone on a connection that idles.
    server.on('data', (chunk: Buffer) => chunk.toString('latin1', 0, 1) === 'A' || client.write(chunk));
  });
  await new Promise<void>((resolve) => pooler.listen(0, '127.0.0.1', resolve));
  return pooler;
}

import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cloneDatabase, openDatabase, type TestDatabase } from '../../../test/harness/database.js';
import type { CopyOut } from './copy-out.js';
import type { Database } from './database.js';

let db: TestDatabase;
let database: Database;

beforeAll(async () => {
  db = await cloneDatabase();
  database = db.database;
});
afterAll(() => db.close());

async function readAll(copy: CopyOut): Promise<string> {
  let text = '';
  for (let chunk = await copy.next(); chunk !== null; chunk = await copy.next()) text += chunk.toString();
  return text;
}

/** Reads a copy, and another one in the same snapshot. */
async function copyOf(select: string, ...values: unknown[]): Promise<string> {
  const snapshot = await database.openSnapshot();
  try {
    const text = await readAll(snapshot.copyOut(select, values));
    expect(await readAll(snapshot.copyOut('SELECT 1', []))).toBe('1\n');
    return text;
  } finally {
    await snapshot.close();
  }
}

const backends = async (): Promise<string> => {
  const [row] = await database.query<{ count: string }>(
    `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' AND state <> 'idle'`,
  );
  return row?.count ?? '';
};

describe('a copy out of the database', () => {
  it.each(["'", "''; DROP TABLE objects; --", '\\', "\\'", '$1', '$2', 'é👢', '', 'E', ' '])(
    'has the value %j as a parameter would have it',
    async (value) => {
      expect(await copyOf(`SELECT convert_to($1, 'UTF8'), $2::int`, value, 5)).toBe(
        `\\\\x${Buffer.from(value).toString('hex')}\t5\n`,
      );
    },
  );

  it('has numbers, booleans and null as parameters', async () => {
    expect(
      await copyOf(
        'SELECT $1::float8, $2::boolean, $3::text, $11::int',
        0.1,
        true,
        null,
        ...Array<number>(7).fill(0),
        11,
      ),
    ).toBe('0.1\tt\t\\N\t11\n');
  });

  it.each([
    ['U+0000', 'a\0b'],
    ['a list', ['a']],
    ['undefined', undefined],
  ])('rejects %s as a value', async (_, value) => {
    await expect(copyOf('SELECT $1::text', value)).rejects.toThrow('COPY cannot have this value');
  });

  it('returns rows that are larger than its chunks', async () => {
    const text = await copyOf(`SELECT repeat('x', 3000000) FROM generate_series(1, 2)`);
    expect([text.length, text.lastIndexOf('\n', text.length - 2)]).toEqual([6_000_002, 3_000_000]);
  });

  it('knows the number of rows at its end, also where that arrives later than the end of the rows', async () => {
    // CopyDone, and the beginning of CommandComplete.
    const end = Buffer.from('c\0\0\0\x04C');
    const server = createServer((client) => {
      const { host, port } = db.address;
      const backend = connect(`${host}/.s.PGSQL.${String(port)}`);
      client.pipe(backend);
      backend.on('data', (data) => {
        const at = data.indexOf(end);
        const split = at === -1 ? data.length : at + end.length - 1;
        client.write(data.subarray(0, split));
        // A test fails only where the number is not waited for.
        if (split < data.length) setTimeout(() => client.write(data.subarray(split)), 50);
      });
      for (const socket of [client, backend]) socket.on('error', () => undefined);
      backend.on('close', () => client.destroy());
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const proxied = await openDatabase({ ...db.address, host: '127.0.0.1', port });
    try {
      const snapshot = await proxied.openSnapshot();
      const copy = snapshot.copyOut('SELECT n FROM generate_series(1, 3) AS n', []);
      const found = [await readAll(copy), copy.rowCount];
      await snapshot.close();
      expect(found).toEqual(['1\n2\n3\n', 3]);
    } finally {
      await proxied.close();
      server.close();
    }
  });

  it('fails with the error of the database, also after rows were read', async () => {
    await expect(copyOf('SELECT 1 FROM missing')).rejects.toMatchObject({ code: '42P01' });
    await expect(copyOf('SELECT 1 / (500000 - n) FROM generate_series(1, 600000) AS n')).rejects.toMatchObject({
      code: '22012',
    });
    expect(await copyOf('SELECT 2')).toBe('2\n');
  });

  it.each([
    ['whose rows nobody reads', `SELECT repeat('x', 1000) FROM generate_series(1, 1000000)`, 1],
    ['without a row so far', 'SELECT pg_sleep(600)', 0],
  ])('ends when the snapshot is closed: one %s', async (_, select, chunks) => {
    const snapshot = await database.openSnapshot({ statementTimeoutMs: 0 });
    const copy = snapshot.copyOut(select, []);
    for (let i = 0; i < chunks; i++) expect(await copy.next()).not.toBeNull();
    const rest = copy.next().then(() => copy.next());
    const failure = expect(rest).rejects.toMatchObject({ code: '57014' });
    await snapshot.close();
    await failure;
    expect(await backends()).toBe('0');
    expect(await copyOf('SELECT 2')).toBe('2\n');
  });

  it('continues after any number of waits', async () => {
    const snapshot = await database.openSnapshot({ statementTimeoutMs: 0 });
    const copy = snapshot.copyOut('SELECT pg_sleep(600)', []);
    const waits = Promise.allSettled(Array.from({ length: 50_000 }, () => copy.next()));
    await snapshot.close();
    expect(new Set((await waits).map(({ status }) => status))).toEqual(new Set(['rejected']));
  });

  it('fails when its connection is closed', async () => {
    const snapshot = await database.openSnapshot();
    const copy = snapshot.copyOut(`SELECT repeat('x', 1000) FROM generate_series(1, 1000000)`, []);
    await copy.next();
    database.closeActiveConnections();
    await expect(readAll(copy)).rejects.toThrow('Connection terminated');
    await snapshot.close();
  });
});

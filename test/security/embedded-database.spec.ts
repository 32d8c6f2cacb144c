import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { PostgresAddress } from '#database';
import { RUN } from '../harness/run.js';

const AS_ROOT = process.geteuid?.() === 0;
const NOBODY = 65_534;
const { postgres: application, superuser } = RUN;

const connections = new Map<PostgresAddress, pg.Client>();
let dataDir: string;

beforeAll(async () => {
  for (const address of [application, superuser]) {
    const client = new pg.Client({ ...address, ssl: false });
    await client.connect();
    connections.set(address, client);
  }
  dataDir = String((await query(superuser, 'SHOW data_directory'))[0]);
});
afterAll(() => Promise.all(Array.from(connections.values(), (client) => client.end())));

/** Returns the values of all rows. */
async function query(as: PostgresAddress, sql: string): Promise<unknown[]> {
  const rows = (await connections.get(as)?.query<Record<string, unknown>>(sql))?.rows ?? [];
  return rows.flatMap((row) => Object.values(row));
}

async function errorCodeOf(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => (error as { code?: string }).code,
  );
}

async function connectAndEnd(address: PostgresAddress): Promise<void> {
  const client = new pg.Client({ ...address, ssl: false });
  try {
    await client.connect();
  } finally {
    await client.end();
  }
}

describe('a program of another user', () => {
  /**
   * Runs on its own, because that user may have no access to the project. It prints a result for each attempt: the code of the
   * error, or "done"; for a connection without a password the first bytes of the response.
   */
  const ATTEMPTS = `
    const fs = require('node:fs');
    const [dataDir, socket, pid] = process.argv.slice(1);
    const attempt = (work) => { try { work(); return 'done'; } catch (error) { return error.code; } };
    const results = {
      passwords: attempt(() => fs.readFileSync(dataDir + '.pgpass')),
      files: attempt(() => fs.readFileSync(dataDir + '/postgresql.conf')),
      signal: attempt(() => process.kill(Number(pid), 0)),
    };
    const body = Buffer.from('\\0\\x03\\0\\0user\\0postgres\\0database\\0postgres\\0\\0');
    const length = Buffer.alloc(4);
    length.writeInt32BE(body.length + 4);
    const finish = (connection) => { console.log(JSON.stringify({ ...results, connection })); process.exit(); };
    const client = require('node:net').connect(socket, () => client.write(Buffer.concat([length, body])));
    client.on('error', (error) => finish(error.code));
    client.on('data', (data) => finish(data[0] === 82 ? 'authentication ' + data.readInt32BE(5) : String(data)));
  `;

  it('reads no password, and neither reads the files, signals the server nor connects', async () => {
    const socket = join(application.host, `.s.PGSQL.${String(application.port)}`);
    const { uid, mode } = await stat(dataDir);
    expect([mode & 0o777, (await stat(`${dataDir}.pgpass`)).mode & 0o777]).toEqual([0o700, 0o600]);
    expect((await stat(`${dataDir}.pgpass`)).uid).toBe(process.geteuid?.());
    if (!AS_ROOT) return; // only root can run a program as another user

    const pid = Number.parseInt(await readFile(join(dataDir, 'postmaster.pid'), 'utf8'), 10);
    // The attempts must not fail at the folder of the data directory already.
    expect((await stat(dirname(dataDir))).mode & 0o777).toBe(0o755);
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', ATTEMPTS, dataDir, socket, String(pid)], {
      uid: NOBODY,
      gid: NOBODY,
      cwd: '/',
    });
    // Without user namespaces PostgreSQL itself runs as nobody; then only the password protects the connections.
    expect(JSON.parse(stdout)).toEqual(
      uid === NOBODY
        ? { passwords: 'EACCES', files: 'done', signal: 'done', connection: 'authentication 10' } // SASL
        : { passwords: 'EACCES', files: 'EACCES', signal: 'EPERM', connection: 'EACCES' },
    );
  });
});

describe('a connection', () => {
  it.each([application, superuser])('as $user is rejected with a wrong password', async (address) => {
    expect(await errorCodeOf(connectAndEnd({ ...address, password: 'x'.repeat(43) }))).toBe('28P01');
    expect(await errorCodeOf(connectAndEnd(address))).toBeUndefined();
  });

  it('is possible on the socket only, with SCRAM', async () => {
    const rules = await query(
      superuser,
      'SELECT concat_ws(chr(32), type, database, user_name, auth_method) FROM pg_hba_file_rules',
    );
    expect(rules).toEqual(['local {all} {all} scram-sha-256']);
    expect(await query(superuser, 'SHOW listen_addresses')).toEqual(['']);
    expect(
      await query(
        superuser,
        `SELECT count(*)::int FROM pg_authid WHERE rolcanlogin AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'`,
      ),
    ).toEqual([0]);
  });
});

describe('the role of the application', () => {
  it('has no attribute but LOGIN, is a member of no other role, and owns its databases', async () => {
    const attributes = `rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls`;
    const role = await query(application, `SELECT ${attributes} FROM pg_roles WHERE rolname = current_user`);
    expect(role).toEqual([true, false, false, false, false, false]);
    expect(await query(application, 'SELECT FROM pg_auth_members WHERE member = current_user::regrole')).toEqual([]);
    const owners = `SELECT DISTINCT datdba::regrole::text FROM pg_database WHERE datname IN ('stowage', '${RUN.sharedDatabase}')`;
    expect(await query(application, owners)).toEqual(['stowage']);
  });

  it.each([
    `COPY (SELECT 1) TO PROGRAM 'true'`,
    `SELECT pg_read_file('postgresql.conf')`,
    'SELECT rolpassword FROM pg_authid',
    `ALTER SYSTEM SET archive_command = 'true'`,
    'CREATE DATABASE another',
    'CREATE ROLE another SUPERUSER',
    'ALTER ROLE stowage SUPERUSER',
    'CREATE EXTENSION file_fdw',
    `CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'`,
  ])('may not execute %s', async (statement) => {
    expect(await errorCodeOf(query(application, statement))).toBe('42501'); // insufficient_privilege
  });
});

it('the passwords are in no argument, environment variable or log of PostgreSQL', async () => {
  const pid = Number.parseInt(await readFile(join(dataDir, 'postmaster.pid'), 'utf8'), 10);
  // Root in a container may have no access to the environment of other users' processes.
  const { uid, gid } = await stat(dataDir);
  const user = AS_ROOT ? { uid, gid } : {};
  const of = async (name: string): Promise<string> =>
    (await promisify(execFile)('cat', [`/proc/${String(pid)}/${name}`], user)).stdout;
  for (const text of [
    await of('cmdline'),
    await of('environ'),
    await readFile(join(dataDir, 'postgres.log'), 'utf8'),
  ]) {
    expect(text).not.toBe('');
    for (const { password } of [application, superuser]) expect(text).not.toContain(password);
  }
});

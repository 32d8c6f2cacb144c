import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { PROBLEMS } from '#http';
import { findFaults, SECRETS_FILE } from './log-check.mjs';
import { checkStatements } from './statement-check.mjs';
import { STATEMENTS_FOLDER } from './statement-tap.mjs';
import { connectionsTo, startPostgres, urlOf } from './postgres.mjs';

const SERVERS = join(import.meta.dirname, 'servers.mjs');
const SHARED_DATABASE = 'shared';
const OPERATOR_KEY = 'an-operator-key-of-the-tests-of-the-api';
const KEY_SECRET = 'a secret of the tests, 32 characters';
const DATA_KEY = Buffer.from('a data key of tests, of 32 bytes').toString('base64');

/** Idle servers stop within a second; a server that leaked a connection waits five seconds before it closes it. */
const STOP_WITHIN_MS = 4_000;
const FAULTS_SHOWN = 20;

/** Starts PostgreSQL and the process of the servers. The shared server starts when the first spec needs it. */
export async function startTestRun(folder) {
  const log = join(folder, 'servers.log');
  const secrets = join(folder, SECRETS_FILE);
  await writeFile(secrets, '');
  await mkdir(join(folder, STATEMENTS_FOLDER));
  const servers = await startServers(folder, log);
  let postgres;
  try {
    const started = await startPostgres(folder, SHARED_DATABASE);
    postgres = started.postgres;
    const shared = { ...postgres.address, database: SHARED_DATABASE };
    const control = await servers.control;
    const settings = {
      DATABASE_URL: urlOf(shared),
      STOWAGE_KEY_SECRET: KEY_SECRET,
      STOWAGE_OPERATOR_KEY: OPERATOR_KEY,
      STOWAGE_DATA_KEY: DATA_KEY,
      PORT: '0',
      LOG_LEVEL: 'debug',
      WORKER: 'inline',
      // All tests have one address.
      RATE_LIMIT_FAILURES_PER_MINUTE: '1000000',
    };
    await fetch(`${control}/shared`, { method: 'PUT', body: JSON.stringify(settings) });
    return {
      facts: {
        postgres: postgres.address,
        superuser: started.superuser,
        sharedDatabase: SHARED_DATABASE,
        control,
        log,
        recorder: recorderOf(folder),
        secrets,
        operatorKey: OPERATOR_KEY,
        keySecret: KEY_SECRET,
        dataKey: DATA_KEY,
        problems: PROBLEMS,
      },
      async close() {
        try {
          await stopServers(servers.child, log, secrets);
          await checkStatements(folder, { ...started.superuser, database: SHARED_DATABASE });
          const left = await connectionsTo(SHARED_DATABASE, started.superuser);
          if (left.length > 0) throw new Error(`connections of the shared server were leaked: ${JSON.stringify(left)}`);
        } finally {
          await postgres.stop();
          await rm(folder, { recursive: true, force: true });
        }
      },
    };
  } catch (error) {
    servers.child.kill('SIGKILL');
    await postgres?.stop();
    throw error;
  }
}

function recorderOf(folder) {
  const url = pathToFileURL(join(import.meta.dirname, 'record-statements.mjs'));
  url.searchParams.set('folder', folder);
  return url.href;
}

/** @returns the process and its URL */
async function startServers(folder, log) {
  const file = await open(log, 'w');
  // Its standard input ends when this process ends for any reason. Then it stops PostgreSQL and exits.
  const child = spawn(process.execPath, [SERVERS, folder], { stdio: ['pipe', 'pipe', file.fd] });
  await file.close();
  const ended = once(child, 'exit').then(async ([code, signal]) => {
    throw new Error(`the test servers ended with ${code ?? signal}:\n${await readFile(log, 'utf8')}`);
  });
  ended.catch(() => undefined);
  const [line] = await Promise.race([once(createInterface(child.stdout), 'line'), ended]);
  return { child, control: line };
}

/** @throws Error when the process failed, logged an error or a secret, or does not stop in time */
async function stopServers(child, log, secrets) {
  const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  await ended;
  clearTimeout(timer);
  const faults = findFaults(await readFile(log, 'utf8'), (await readFile(secrets, 'utf8')).split('\n').slice(0, -1));
  if (ended === undefined || child.exitCode !== 0 || faults.length > 0) {
    const shown = faults.slice(0, FAULTS_SHOWN).join('\n');
    throw new Error(
      `the test servers ended with ${child.exitCode ?? child.signalCode}; ${faults.length} faults in their log:\n${shown}`,
    );
  }
}

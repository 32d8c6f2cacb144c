/**
 * The process with the servers of the HTTP specs: the built product, started like `stowage serve`. One process runs all of
 * them, because loading the product takes two seconds of CPU time, and another server only half a second. It prints its
 * URL, and accepts commands over HTTP:
 *
 * - `PUT /shared` sets the settings of the server that the specs share, `GET /shared` starts it unless it is running;
 * - `POST /log` writes the lines of the log that wait;
 * - `POST /servers` starts another one, `PUT /servers/{id}/clock` sets its clock, `DELETE /servers/{id}` stops it.
 */
import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { recordStatements } from './statement-tap.mjs';
import { generatedKeysIn, SECRETS_FILE, secretsIn, SHARED_SERVER } from './log-check.mjs';

/** The folder with the files of the run. */
const [, , folder] = process.argv;
recordStatements(folder);
/** Loads while PostgreSQL starts. */
const product = Promise.all([import('#platform'), import('../../dist/apps/api/serve.js'), import('#telemetry')]);
const servers = new Map();
let started = 0;
let sharedSettings;
let shared;
/** Of the first server; the logs of all of them are written together. */
let firstLog;

async function start(settings, name) {
  const [{ Config }, { serve }, { Telemetry }] = await product;
  const id = name ?? String(++started);
  const printedLines = [];
  recordSecrets(secretsIn(settings));
  const server = await serve(new Config(settings), (line) => printedLines.push(line));
  printedLines.push(...server.welcome);
  servers.set(id, server);
  recordSecrets(generatedKeysIn(printedLines.join('\n')));
  const fastify = server.app.getHttpAdapter().getInstance();
  const { log } = server.app.get(Telemetry);
  firstLog ??= log;
  // All servers write to one log.
  for (const one of [fastify.log, log]) one.setBindings({ server: id });
  return { id, origin: server.url, printedLines, routes: fastify.printRoutes({ commonPrefix: false }) };
}

/** The test run fails when one of them is in the log. */
function recordSecrets(secrets) {
  appendFileSync(join(folder, SECRETS_FILE), secrets.map((secret) => `${secret}\n`).join(''));
}

async function setClock(id, micros) {
  const [{ Clock }] = await product;
  const clock = servers.get(id).app.get(Clock);
  if (micros === null) delete clock.now;
  else clock.now = () => micros;
}

async function stop(id) {
  await servers.get(id).stop();
  servers.delete(id);
}

async function execute(method, [resource, id, part], body) {
  const command = [method, resource, part].join(' ').trim();
  if (command === 'PUT shared') sharedSettings = body;
  else if (command === 'GET shared') return (shared ??= start(sharedSettings, SHARED_SERVER));
  else if (command === 'POST log') firstLog?.flush();
  else if (command === 'POST servers') return start(body);
  else if (command === 'PUT servers clock') await setClock(id, body.micros);
  else if (command === 'DELETE servers') await stop(id);
  else throw new Error(`${command} is unknown`);
  return {};
}

async function respond(request, response) {
  try {
    const body = request.method === 'GET' ? undefined : await json(request);
    const result = await execute(request.method, request.url.split('/').slice(1), body);
    response.end(JSON.stringify(result));
  } catch (error) {
    response.writeHead(500).end(String(error.stack));
  }
}

/** Exits with 1 when a spec has not stopped a server that it started. */
async function stopAll() {
  const left = servers.size - (shared === undefined ? 0 : 1);
  await Promise.all(Array.from(servers.values(), (server) => server.stop()));
  if (left > 0) console.error(`${left} servers were not stopped by the specs that started them`);
  process.exit(left > 0 ? 1 : 0);
}

/** After the test run was killed: stops its PostgreSQL and removes its files. */
function cleanUp() {
  const [pid] = readFileSync(join(folder, 'postgres/postmaster.pid'), 'utf8').split('\n');
  process.kill(Number(pid), 'SIGQUIT');
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  process.exit(1);
}

process.once('SIGTERM', stopAll);
process.stdin.on('end', cleanUp).resume();

// Without a limit of idle connections: a spec could send a command at the moment at which its connection is closed.
const control = createServer({ keepAliveTimeout: 0 }, respond).listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${control.address().port}`);
});

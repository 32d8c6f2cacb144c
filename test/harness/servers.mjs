/**
 * The process of the servers that the HTTP specs use: the built product, each started as `stowage serve` starts it. One
 * process for all of them, because loading the product takes two seconds of processor time, and a further server half a
 * second. It takes its orders over HTTP, and prints its address:
 *
 * - `PUT /shared` sets the settings of the server that the specs share, `GET /shared` starts it where it has not started;
 * - `POST /servers` starts another one, `PUT /servers/{id}/clock` sets its clock, `DELETE /servers/{id}` stops it.
 */
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';

/** Of the run's files. */
const [, , folder] = process.argv;
/** Loaded while PostgreSQL starts. */
const product = Promise.all([import('#platform'), import('../../dist/apps/api/serve.js')]);
const servers = new Map();
let started = 0;
let sharedSettings;
let shared;

async function start(settings) {
  const [{ Config }, { serve }] = await product;
  const said = [];
  const server = await serve(new Config(settings), (line) => said.push(line));
  const id = String(++started);
  servers.set(id, server);
  const routes = server.app.getHttpAdapter().getInstance().printRoutes({ commonPrefix: false });
  return { id, origin: server.url, said, routes };
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
  const order = [method, resource, part].join(' ').trim();
  if (order === 'PUT shared') sharedSettings = body;
  else if (order === 'GET shared') return (shared ??= start(sharedSettings));
  else if (order === 'POST servers') return start(body);
  else if (order === 'PUT servers clock') await setClock(id, body.micros);
  else if (order === 'DELETE servers') await stop(id);
  else throw new Error(`${order} is unknown`);
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

/** For a run that was killed: ends its PostgreSQL and removes its files. */
function cleanUp() {
  const [pid] = readFileSync(join(folder, 'postgres/postmaster.pid'), 'utf8').split('\n');
  process.kill(Number(pid), 'SIGQUIT');
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  process.exit(1);
}

process.once('SIGTERM', stopAll);
process.stdin.on('end', cleanUp).resume();

const control = createServer(respond).listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${control.address().port}`);
});

/**
 * A process that floods the server, so that it does not slow the test down. It gets the origin and a list of attacks (flood.ts) in a
 * message, responds `started` when it has made the bodies, and at the end with the number of responses by status of each attack.
 */
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

const TIMEOUT_MS = 180_000;

process.once('message', async ({ origin, attacks }) => {
  const bodies = attacks.map(({ body }) => (body === undefined || isOfOneRequest(body) ? undefined : bytesOf(body)));
  process.send('started');
  process.send(await Promise.all(attacks.map((attack, i) => run(origin, attack, bodies[i]))));
});
// Unread responses are held until the test has ended.
process.once('disconnect', () => process.exit());

const isOfOneRequest = ({ start = '', repeat = '' }) => (start + repeat).includes('{request}');
const fill = (text, request) => text.replaceAll('{request}', String(request));

function bytesOf({ start = '', repeat = '', times = 1, end = '', gzip = false }, request) {
  const middle = repeat.includes('{n}')
    ? Array.from({ length: times }, (_, n) => repeat.replaceAll('{n}', String(n))).join('')
    : repeat.repeat(times);
  const bytes = Buffer.from(fill(start + middle + end, request));
  // The fastest level, as a client with little time would choose; zeros and text still shrink a hundred times.
  return gzip ? gzipSync(bytes, { level: 1 }) : bytes;
}

/** Returns the number of responses by status; also `broken`, `incomplete` and `timeout`. */
async function run(origin, attack, bytes) {
  const agent = new Agent({ keepAlive: true, maxSockets: attack.connections });
  // A connection may also fail after the response, when the server has not read the whole body.
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (...options) => connect(...options).on('error', () => undefined);
  const statuses = {};
  let next = 0;
  const client = async () => {
    while (next < attack.count) {
      const status = await send(origin, attack, bytes, next++, agent);
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: attack.connections }, client));
  return statuses;
}

function send(origin, { method, path, headers, body, isSlow, isUnread }, shared, number, agent) {
  const bytes = body === undefined || isSlow ? undefined : (shared ?? bytesOf(body, number));
  const length = bytes === undefined ? {} : { 'Content-Length': bytes.length };
  const filled = Object.entries(headers).map(([name, value]) => [name, fill(value, number)]);
  const options = { method, agent, headers: { ...Object.fromEntries(filled), ...length } };
  return new Promise((resolve) => {
    const call = request(origin + fill(path, number), options);
    const timer = setTimeout(() => {
      end('timeout');
      call.destroy();
    }, TIMEOUT_MS);
    const end = (status) => {
      clearTimeout(timer);
      resolve(status);
    };
    call.on('response', (response) => {
      if (isUnread) return end(response.statusCode);
      response.resume().once('close', () => end(response.complete ? response.statusCode : 'incomplete'));
    });
    call.on('error', (error) => end(`broken ${error.code}`));
    if (isSlow) void sendSlowly(call, body, number);
    else call.end(bytes);
  });
}

/** Sends the start, and then one repetition in each second, until there is a response. */
async function sendSlowly(call, { start = '', repeat, times }, number) {
  let hasEnded = false;
  call.on('response', () => (hasEnded = true)).on('error', () => (hasEnded = true));
  call.flushHeaders();
  if (start !== '') call.write(fill(start, number));
  for (let n = 0; n < times && !hasEnded; n++) {
    call.write(fill(repeat, number).replaceAll('{n}', String(n)));
    await sleep(1_000);
  }
  call.end();
}

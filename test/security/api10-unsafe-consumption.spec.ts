/**
 * OWASP API10:2023, Unsafe Consumption of APIs. Another server, which a command of the command line requests, is hostile: it
 * redirects the request to get the key, and sends control sequences for the terminal. The server itself requests only what its
 * settings name.
 *
 * Also: libs/access/src/alert-webhook.spec.ts, rate-limits.spec.ts (a Redis that fails), test/cli/load.spec.ts (other responses).
 */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { ADMIN_KEY, Stowage, type Ended } from '../cli/stowage.js';

let stowage: Stowage;
let hostile: Server;
let other: Server;
/** The requests that the servers got. */
let requests: IncomingMessage[];
let othersRequests: IncomingMessage[];

const urlOf = (server: Server): string => `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;

beforeAll(async () => {
  stowage = await Stowage.create({ STOWAGE_API_KEY: ADMIN_KEY });
  await writeFile(join(stowage.folder, 'batch.json'), '{"batch_id":"b","objects":[]}');
  other = createServer((request, response) => {
    othersRequests.push(request);
    response.end('{"batch_id":"b","objects":[]}');
  }).listen(0, '127.0.0.1');
  hostile = createServer((request, response) => {
    requests.push(request);
    request.resume();
    if (request.url?.startsWith('/redirect') === true) {
      response.writeHead(307, { Location: `${urlOf(other)}/api/v1/batches/b` }).end();
      return;
    }
    const detail = '\u001b]0;owned\u0007\u001b[2J\u009b31m\u007f\u202e\r\nrm -rf';
    response.writeHead(403, { 'Content-Type': 'application/problem+json' });
    response.end(JSON.stringify({ type: detail, title: detail, status: 403, detail }));
  }).listen(0, '127.0.0.1');
  await Promise.all([once(other, 'listening'), once(hostile, 'listening')]);
});
beforeEach(() => {
  [requests, othersRequests] = [[], []];
});
afterAll(async () => {
  for (const server of [hostile, other]) {
    server.closeAllConnections();
    server.close();
  }
  await stowage.remove();
});

const load = (source: string, url: string): Promise<Ended> => stowage.run(['load', source], { STOWAGE_URL: url });

it('load does not follow a redirect, which would get the key', async () => {
  const { code, stderr } = await load('batch.json', `${urlOf(hostile)}/redirect`);
  expect([code, othersRequests.length]).toEqual([expect.any(Number), 0]);
  expect(code).not.toBe(0);
  expect(requests.length).toBeGreaterThan(0);
  expect(stderr).toContain(` redirects to ${urlOf(other)}/`);
});

it('load prints the control characters of a response as escapes, on one line, and never the key', async () => {
  const { code, stdout, stderr } = await load('batch.json', urlOf(hostile));
  expect(code).not.toBe(0);
  expect(stderr).toContain('\\u001b]0;owned');
  expect((stdout + stderr).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u);
  expect(stdout + stderr).not.toMatch(/^rm/m);
  expect(stdout + stderr).not.toContain(ADMIN_KEY);
});

it('load sends no key to the server of a file', async () => {
  const api = await TestApi.shared();
  const { admin } = (await api.project()).keys;
  const settings = { STOWAGE_URL: api.origin, STOWAGE_API_KEY: admin };
  const { stderr } = await stowage.run(['load', `${urlOf(other)}/batch.json`], settings);
  await api.stop();
  expect([stderr, othersRequests.length > 0]).toEqual([stderr, true]);
  for (const { rawHeaders } of othersRequests) expect(JSON.stringify(rawHeaders)).not.toContain(admin);
});

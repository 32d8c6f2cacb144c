/**
 * OWASP API7:2023, Server Side Request Forgery. The attacker sends the URL of another server in every text, so that this server
 * requests it. The server opens no connection for a request: only settings name other servers.
 *
 * Also: host.spec.ts (forged hosts in URLs), and libs/access/src/alert-webhook.spec.ts (redirects of the webhook's receiver).
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { sendRaw } from '../errors/send-raw.js';
import { TestApi } from '../harness/api.js';
import { fill, ROUTES } from '../routes/route-table.js';
import { ProjectWithResources } from './resources.js';

let api: TestApi;
let project: ProjectWithResources;
let target: Server;
let connections = 0;
let url: string;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await ProjectWithResources.create(api, 'ssrf');
  target = createServer((socket) => {
    connections++;
    socket.destroy();
  }).listen(0, '127.0.0.1');
  await once(target, 'listening');
  url = `http://127.0.0.1:${String((target.address() as AddressInfo).port)}/`;
});
afterAll(async () => {
  target.close();
  await api.stop();
});

it('no text of a request makes the server open a connection', async () => {
  const headers = Object.fromEntries(
    ['Referer', 'Origin', 'Forwarded', 'X-Forwarded-Host', 'Link', 'Prefer', 'X-Original-URL', 'X-Callback-Url'].map(
      (name) => [name, url],
    ),
  );
  for (const [, route] of ROUTES) {
    const [role = 'admin'] = route.roles;
    const key = project.keyOf(role);
    const type = route.types?.[0] ?? 'application/json';
    const names = [...Object.keys(route.body ?? {}), 'url', 'callback_url', 'webhook'];
    for (const name of route.body === undefined ? [''] : names) {
      const body = route.body === undefined ? {} : { body: { ...route.body, [name]: url } };
      const path = fill(route.path, project.idsFor(role));
      const reply = await api.call(route.method, path, { key, ...body, headers: { ...headers, 'Content-Type': type } });
      expect([route.path, reply.status < 500]).toEqual([route.path, true]);
    }
    const ids = Object.fromEntries(Object.keys(project.idsFor(role)).map((name) => [name, encodeURIComponent(url)]));
    await api.call('GET', fill(route.path, ids), { key });
    await api.call('GET', `${route.path.replace(/\{.*/, 'x')}?url=${encodeURIComponent(url)}`, { key });
  }
  const host = new URL(url).host;
  for (const line of [`GET ${url}api/v1/ HTTP/1.1\r\nHost: server`, `GET /api/v1/ HTTP/1.1\r\nHost: ${host}`])
    expect((await sendRaw(api.origin, `${line}\r\nConnection: close\r\n\r\n`)).status).toBeLessThan(500);
  expect(connections).toBe(0);
});

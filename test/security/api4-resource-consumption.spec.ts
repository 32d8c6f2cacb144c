/**
 * OWASP API4:2023, Unrestricted Resource Consumption. The attacker requests large pages and sends many parameters and headers.
 *
 * Most of this item has files of its own: floods, connections, event-loop, idle-connections, queries, rate-limits and full-disk in
 * this folder; unread-bodies, encoded-bodies, slow-bodies and memory-budget in test/errors; test/jobs/turns.spec.ts and
 * test/usage/quotas.spec.ts.
 */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { openApiOf, operationsOf } from '../documents/open-api.js';
import { expectProblem, placesOf } from '../errors/expect-problem.js';
import { TestApi, type TestProject } from '../harness/api.js';
import { CONTRACT, fill } from '../routes/route-table.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.shared();
  project = await api.project();
});
afterAll(() => api.stop());

it('every list rejects a page over the maximum, and returns at most that many results', async () => {
  const lists = operationsOf(await openApiOf(api)).flatMap(([name, { parameters = [] }]) =>
    parameters.filter((one) => /^(?:page_size|limit)$/.test(one.name)).map((one) => ({ name, parameter: one.name })),
  );
  expect(lists.length).toBeGreaterThan(8);
  const webhook = { key: project.keys.admin, body: CONTRACT['POST /webhooks']?.body };
  const { webhook_id } = (await api.call('POST', '/webhooks', webhook)).json<{ webhook_id: string }>();
  for (const { name, parameter } of lists) {
    const path = name.replace('GET /api/v1', '');
    const { roles, query = '' } = CONTRACT[`GET ${path}`] ?? { roles: [] };
    const key = roles.includes('admin') ? project.keys.admin : api.operatorKey;
    const ids = { project_id: project.projectId, device_id: project.deviceId, webhook_id };
    for (const size of ['1001', '99999999999999999999', '-1', '1e3', 'Infinity', '']) {
      const reply = await api.call('GET', fill(`${path}?${query}&${parameter}=${size}`.replace('?&', '?'), ids), {
        key,
      });
      expect([name, placesOf(expectProblem(reply, 'invalid-query'))]).toEqual([name, [parameter]]);
    }
  }
});

it('many query parameters are rejected, with at most 100 errors', async () => {
  const query = Array.from({ length: 3_000 }, (_, i) => `p${String(i)}`).join('&');
  for (const path of ['/objects', '/me', '/batches/b']) {
    const reply = await api.call('GET', `${path}?${query}`, { key: project.keys.admin });
    expect([path, placesOf(expectProblem(reply, 'invalid-query')).length]).toEqual([path, 100]);
  }
});

it('many headers, and long ones, are rejected', async () => {
  const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`x-${String(i)}`, 'x'.repeat(20)]));
  const headers: Record<string, string>[] = [many, { 'If-None-Match': '"x", '.repeat(20_000) }];
  for (const one of headers) expectProblem(await api.call('GET', '/me', { headers: one }), 'headers-too-large');
});

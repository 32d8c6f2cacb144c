import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { CanaryAlerts } from '#access';
import { withChecksum } from '#platform';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { expectProblem } from '../errors/expect-problem.js';
import type { CallOptions, Reply, TestProject } from '../harness/api.js';
import { TestApp } from '../harness/app.js';
import { waitFor } from '../jobs/jobs.js';

const SECRET = `whsec_${Buffer.from('a secret of the webhook, 24 bytes').toString('base64')}`;
const UNKNOWN = withChecksum(`stw_admin_${'x'.repeat(30)}`);

interface Key {
  key_id: string;
  key: string;
  name: string;
  canary: boolean;
}

interface Alert {
  key_id: string;
  count: number;
  address: string;
}

let receiver: Server;
let received: { headers: IncomingHttpHeaders; body: string }[] = [];
let api: TestApp;
let project: TestProject;

beforeAll(async () => {
  receiver = createServer((request, response) => {
    void text(request).then((body) => {
      received.push({ headers: request.headers, body });
      response.writeHead(204).end();
    });
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const port = String((receiver.address() as AddressInfo).port);
  api = await TestApp.start({ ALERT_WEBHOOK_URL: `http://127.0.0.1:${port}/alerts`, ALERT_WEBHOOK_SECRET: SECRET });
});
afterAll(async () => {
  await api.stop();
  receiver.closeAllConnections();
  receiver.close();
});
beforeEach(async () => {
  project = await api.project();
  received = [];
});

const keysPath = (): string => `/projects/${String(project.projectId)}/keys`;

async function createKey(body: object = {}): Promise<Key> {
  const options = { key: project.keys.admin, body: { name: 'bait', role: 'admin', canary: true, ...body } };
  const reply = await api.call('POST', keysPath(), options);
  expect([reply.status, reply.text]).toEqual([201, expect.any(String)]);
  return reply.json<Key>();
}

function change(method: string, path: string, body?: object): Promise<Reply> {
  return api.call(method, `${keysPath()}/${path}`, { key: project.keys.admin, body });
}

interface Entry {
  action: string;
  actor: object;
  target: { id: string };
  details: { count: number };
  address: string;
}

/** The entries about canary keys, oldest first, when this number of them exists. */
function entries(count: number): Promise<Entry[]> {
  return waitFor(async () => {
    const reply = await api.call('GET', '/audit?action=key.canary&page_size=1000', { key: project.keys.admin });
    const { results } = reply.json<{ results: Entry[] }>();
    return results.length >= count ? results.reverse() : undefined;
  });
}

/** The alerts about a key, when this number of them was received. */
function alerts({ key_id }: Key, count: number): Promise<Alert[]> {
  return waitFor(async () => {
    const own = received
      .map(({ body }) => (JSON.parse(body) as { data: Alert }).data)
      .filter((alert) => alert.key_id === key_id);
    return Promise.resolve(own.length >= count ? own : undefined);
  });
}

describe('a request with a canary key', () => {
  it('gets the same 401 as one with an unknown key, on every kind of route', async () => {
    const { key } = await createKey();
    const requests: [string, string, CallOptions][] = [
      ['GET', '/me', {}],
      ['GET', '/objects', {}],
      ['DELETE', '/objects/o', {}],
      ['GET', keysPath(), {}],
      ['POST', '/batches', { body: { batch_id: 'b', objects: [] } }],
      ['POST', '/batches', { body: '{' }],
      ['GET', '/projects', {}],
    ];
    for (const [method, path, options] of requests) {
      const [canary, unknown] = [
        await api.call(method, path, { ...options, key }),
        await api.call(method, path, { ...options, key: UNKNOWN }),
      ];
      expectProblem(canary, 'unauthenticated');
      const parts = ({ status, headers, text: body }: Reply): unknown => {
        const stable = [...headers].filter(([name]) => !['date', 'x-request-id'].includes(name));
        return [status, stable, body.replace(/"request_id":"[^"]*"/, '')];
      };
      expect(parts(canary)).toEqual(parts(unknown));
    }
  });

  it('raises an alert in the audit log and at the webhook, signed, without the key', async () => {
    const bait = await createKey({ role: 'producer' });
    const reply = await api.call('DELETE', '/objects/secret-id', {
      key: bait.key,
      headers: { 'User-Agent': `scanner ${'x'.repeat(1000)}` },
    });
    const [entry] = await entries(1);
    const details = {
      method: 'DELETE',
      route: '/api/v1/objects/:object_id',
      user_agent: `scanner ${'x'.repeat(247)}`,
      count: 1,
      first_at: expect.any(String),
      last_at: expect.any(String),
    };
    expect(entry).toMatchObject({
      action: 'key.canary',
      actor: { key_id: bait.key_id, role: 'producer', name: 'bait' },
      target: { type: 'key', id: bait.key_id },
      details,
      request_id: reply.headers.get('x-request-id'),
      address: '127.0.0.1',
    });
    expect(await alerts(bait, 1)).toEqual([
      {
        project_id: project.projectId,
        key_id: bait.key_id,
        key_name: 'bait',
        role: 'producer',
        address: '127.0.0.1',
        request_id: reply.headers.get('x-request-id'),
        ...details,
      },
    ]);
    const [{ headers, body } = { headers: {}, body: '' }] = received;
    expect(new Webhook(SECRET).verify(body, headers as Record<string, string>)).toMatchObject({ type: 'key.canary' });
    for (const output of [JSON.stringify(entry), body]) {
      expect(output).not.toContain(bait.key);
      expect(output).not.toContain('secret-id');
    }
  });

  it('raises two alerts for a flood: the first request, and all others of the minute', async () => {
    const bait = await createKey();
    await Promise.all(Array.from({ length: 300 }, () => api.call('GET', '/objects', { key: bait.key })));
    expect(await entries(1)).toHaveLength(1);
    // Ends the minute.
    await api.app.get(CanaryAlerts).flush();
    expect((await entries(2)).map(({ details }) => details.count)).toEqual([1, 299]);
    expect((await alerts(bait, 2)).map(({ count }) => count)).toEqual([1, 299]);
    // The next minute without a use ends without an alert; then the key is reported at once again.
    await api.app.get(CanaryAlerts).flush();
    await api.call('GET', '/objects', { key: bait.key });
    expect((await entries(3)).map(({ details }) => details.count)).toEqual([1, 299, 1]);
  });

  it('raises an alert also where the client closes the connection without reading the response', async () => {
    const bait = await createKey();
    const { hostname, port } = new URL(api.origin);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    socket.write(`GET /api/v1/objects HTTP/1.1\r\nHost: ${hostname}\r\nX-Api-Key: ${bait.key}\r\n\r\n`, () => {
      socket.destroy();
    });
    expect(await entries(1)).toMatchObject([{ address: '127.0.0.1' }]);
  });

  it('raises an alert, and gets its 401, also while the audit log cannot be written', async () => {
    const bait = await createKey();
    await api.db.sql('ALTER TABLE audit_entries RENAME TO audit_entries_away');
    try {
      expectProblem(await api.call('GET', '/objects', { key: bait.key }), 'unauthenticated');
      expect(await alerts(bait, 1)).toHaveLength(1);
      await api.app.get(CanaryAlerts).flush();
    } finally {
      await api.db.sql('ALTER TABLE audit_entries_away RENAME TO audit_entries');
    }
  });

  it('does not hide the alerts of another project, however many canary keys are used', async () => {
    const baits = await Promise.all(Array.from({ length: 105 }, () => createKey()));
    await Promise.all(baits.map(({ key }) => api.call('GET', '/objects', { key })));
    expect(await entries(100)).toHaveLength(100);
    project = await api.project();
    const bait = await createKey();
    await api.call('GET', '/objects', { key: bait.key });
    expect(await entries(1)).toHaveLength(1);
    await api.app.get(CanaryAlerts).flush();
  });
});

describe('a canary key', () => {
  it('is shown as one, and is renamed and given an expiry like others', async () => {
    const bait = await createKey();
    expect(bait.canary).toBe(true);
    expect((await change('GET', bait.key_id)).json()).toMatchObject({ canary: true, status: 'active' });
    const list = await api.call('GET', keysPath(), { key: project.keys.admin });
    const { results } = list.json<{ results: Key[] }>();
    expect(results.filter(({ canary }) => canary).map(({ key_id }) => key_id)).toEqual([bait.key_id]);
    expect((await change('PATCH', bait.key_id, { name: 'new bait' })).json()).toMatchObject({ canary: true });
    await api.call('GET', '/objects', { key: bait.key });
    expect((await entries(1))[0]?.actor).toMatchObject({ name: 'new bait' });
  });

  it('raises no alert after it is revoked or has expired', async () => {
    const [revoked, expired, last] = [await createKey(), await createKey(), await createKey()];
    expect((await change('DELETE', revoked.key_id)).status).toBe(204);
    await api.db.sql(`UPDATE api_keys SET expires_at = now() - interval '1 minute' WHERE key_id = $1`, [
      expired.key_id,
    ]);
    for (const { key } of [revoked, expired, last]) {
      expectProblem(await api.call('GET', '/objects', { key }), 'unauthenticated');
    }
    expect((await entries(1)).map(({ target }) => target.id)).toEqual([last.key_id]);
  });

  it('is replaced by another canary when it is rotated', async () => {
    const bait = await createKey();
    const reply = await change('POST', `${bait.key_id}/rotate`, { overlap_seconds: 0 });
    const next = reply.json<Key>();
    expect([reply.status, next.canary]).toEqual([201, true]);
    for (const { key } of [bait, next]) {
      expectProblem(await api.call('GET', '/objects', { key }), 'unauthenticated');
    }
    expect((await entries(1)).map(({ target }) => target.id)).toEqual([next.key_id]);
  });

  it('can be one of a device', async () => {
    const bait = await createKey({ role: 'device', device_id: project.deviceId });
    expectProblem(
      await api.call('GET', `/firmware/${project.deviceId}`, { headers: { 'X-Device-Api-Key': bait.key } }),
      'unauthenticated',
    );
    expect((await entries(1)).map(({ target }) => target.id)).toEqual([bait.key_id]);
  });

  it.each([[1], ['true'], [null]])('is not created with canary %j', async (canary) => {
    const body = { name: 'bait', role: 'admin', canary };
    const reply = await api.call('POST', keysPath(), { key: project.keys.admin, body });
    expect(expectProblem(reply, 'invalid-body').errors).toEqual([
      { pointer: '/canary', detail: 'must be true or false' },
    ]);
  });
});

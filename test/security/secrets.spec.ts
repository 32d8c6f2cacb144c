/**
 * Keys and passwords are in no log and no response. Every server of a test run logs at the level debug, and the run fails when
 * a key or password that it used or created is in that log (test/harness/log-check.mjs). Every response of the run is searched
 * for the key of its request (test/harness/api.ts).
 *
 * Also: test/access/keys.spec.ts (stored keys), test/audit/audit.spec.ts (the audit log), test/idempotency (stored responses),
 * test/security/embedded-database.spec.ts and test/start/start.spec.ts (output of processes).
 */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sendRaw } from '../errors/send-raw.js';
import { TestApi, type Reply, type TestProject } from '../harness/api.js';
import { findFaults, secretsIn } from '../harness/log-check.mjs';
import { RUN } from '../harness/run.js';
import { waitFor } from '../jobs/jobs.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterAll(() => api.stop());

/** Returns the lines that the server has logged about a request, when it has logged that the request ended. */
function linesAbout({ headers }: Pick<Reply, 'headers'>): Promise<string> {
  const id = headers.get('x-request-id');
  return waitFor(async () => {
    const lines = (await api.log()).filter(({ request_id }) => request_id === id);
    return lines.some(({ route }) => route !== undefined) ? JSON.stringify(lines) : undefined;
  });
}

/** The part of a key that its prefix, which is public, does not contain. */
const secretPartOf = (key: string): string => key.slice(-20);

describe('the log of a request has no key', () => {
  const places: [name: string, (key: string) => Promise<Pick<Reply, 'headers' | 'status'>>][] = [
    ['X-Api-Key', (key) => api.call('GET', '/me', { key })],
    ['Authorization', (key) => api.call('GET', '/me', { headers: { Authorization: `Bearer ${key}` } })],
    ['a scheme that is not supported', (key) => api.call('GET', '/me', { headers: { Authorization: `Basic ${key}` } })],
    ['the query', (key) => api.call('GET', `/me?api_key=${key}`)],
    ['a filter', (key) => api.call('GET', `/objects?value=${key}`, { headers: { 'X-Api-Key': project.keys.analyst } })],
    ['an id', (key) => api.call('GET', `/objects/${key}`, { headers: { 'X-Api-Key': project.keys.analyst } })],
    ...['Cookie', 'User-Agent', 'Referer', 'X-Request-Id', 'Accept', 'If-Match', 'Prefer', 'Content-Type'].map(
      (name): [string, (key: string) => Promise<Reply>] => [
        name,
        (key) =>
          api.call('POST', '/batches', { body: key, headers: { [name]: key, 'X-Api-Key': project.keys.producer } }),
      ],
    ),
    ['Idempotency-Key', (key) => postBatch({ batch_id: 'i', objects: [] }, { 'Idempotency-Key': key })],
    ['data', (key) => postBatch({ batch_id: 'd', objects: [{ object_id: key, data: { [key]: key } }] })],
    ['an unknown member', (key) => postBatch({ [key]: key })],
    ['an id that exists', (key) => postBatch({ batch_id: 'c', objects: [{ object_id: key, data: {} }] })],
    ['a body that is not JSON', (key) => postBatch(`{"batch_id": ${key}`)],
    ['bytes that are not HTTP', (key) => sendRaw(api.origin, `GET /api/v1/me HTTP/1.1\r\nX-Api-Key ${key}\r\n\r\n`)],
  ];

  function postBatch(body: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    return api.call('POST', '/batches', { body, headers: { ...headers, 'X-Api-Key': project.keys.producer } });
  }

  it.each(places)('in %s', async (_, send) => {
    const { analyst: key } = project.keys;
    const reply = await send(key);
    expect(reply.status).toBeLessThan(500);
    if (reply.headers.has('x-request-id')) expect(await linesAbout(reply)).not.toContain(secretPartOf(key));
  });

  it('that is part of a row which the database rejects', async () => {
    const { analyst: key, admin } = project.keys;
    await api.db.sql(`ALTER TABLE devices ADD CONSTRAINT rejected CHECK (device_id NOT LIKE 'stw%')`);
    const reply = await api.call('POST', '/devices', { body: { device_id: key }, headers: { 'X-Api-Key': admin } });
    expect([reply.status, reply.text]).toEqual([500, expect.not.stringContaining(secretPartOf(key))]);
    const lines = await linesAbout(reply);
    expect(lines).toContain('rejected');
    expect(lines).not.toContain(secretPartOf(key));
  });
});

describe('the check of the log of a test run', () => {
  const key = `stw_analyst_${'Ab1'.repeat(12)}`;
  const lineWith = (msg: string, rest = {}): string => JSON.stringify({ level: 30, server: '1', msg, ...rest });

  it.each([
    ['a recorded secret', lineWith('with the password a recorded secret.')],
    ['the end of a recorded key', lineWith(`failed: ${secretPartOf(key)}`)],
    ['a key that nobody recorded', lineWith(`stw_admin_${'Zz9'.repeat(12)}`)],
    ['an error of the shared server', lineWith('failed', { level: 50, server: 'shared' })],
    ['output that is no log', 'DeprecationWarning: Buffer()'],
  ])('finds %s', (_, line) => {
    expect(findFaults(`${lineWith('x')}\n${line}\n`, ['a recorded secret', key])).toEqual([
      expect.stringContaining(line),
    ]);
  });

  it('accepts the prefix of a key, and errors of a server that a spec started', () => {
    const log = [lineWith(`key ${key.slice(0, 16)}`), lineWith('failed', { level: 50 })].join('\n');
    expect(findFaults(log, ['a recorded secret', key])).toEqual([]);
  });

  it('knows the keys of the servers, and those that specs create', async () => {
    const settings = {
      PORT: '0',
      STOWAGE_KEY_SECRET: 'one',
      DATABASE_URL: 'postgresql://u:t%2Fwo@h/d',
      PUBLIC_URL: '',
    };
    expect(secretsIn(settings)).toEqual(['one', 't/wo']);
    const recorded = (await readFile(RUN.secrets, 'utf8')).split('\n');
    const keys = [project.keys.admin, project.keys.device, api.operatorKey, RUN.keySecret, RUN.postgres.password];
    expect(recorded).toEqual(expect.arrayContaining(keys));
  });
});
